"""Checkpoints of trials: written, found, read, exported, and taken as weights to start from."""
