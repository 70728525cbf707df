"""Shows what studies found: the live view, the leaderboard, descriptions and listings."""
