"""Numbers about finished and running studies: progress, leaderboard, groups, the best trial. Draws nothing."""
