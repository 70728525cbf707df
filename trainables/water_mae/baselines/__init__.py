"""Baselines: predictors without training or without deep learning, evaluated in place of the model."""
