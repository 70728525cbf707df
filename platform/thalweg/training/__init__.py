"""Trains one configuration in one process group: loop, DeepSpeed, evaluation, checkpoints. It does not use Ray."""
