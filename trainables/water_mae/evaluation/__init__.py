"""The fixed evaluation protocol and its measures."""
