"""What a study needs to go on when its search space has grown between two launches."""
