"""What a search learns from trials that were stopped: how far a rung tells the end, and which of them should go on."""
