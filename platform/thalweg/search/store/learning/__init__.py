"""What the default search learns from trials that were stopped: how far a rung tells the end, and what it tells."""
