"""Checkpoints of trials: writing, finding, checking, export, retention, and frozen weights as starting points."""
