"""Warm groups of Ray Train workers, and the Tune trainable that drives one."""
