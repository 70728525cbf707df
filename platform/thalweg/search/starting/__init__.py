"""What a search does before its first trial: where it will run, its preparation, and the start of Ray beside it."""
