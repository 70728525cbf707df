"""Views of what `thalweg show` tells of a study beside its leaderboard."""
