"""Analysis of running and finished studies: progress, leaderboard, groups, best trial, pictures. Prints nothing."""
