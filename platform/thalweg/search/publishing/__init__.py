"""What a study tells its listeners."""
