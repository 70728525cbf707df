"""Where scenes come from: what no two splits may have in common."""
