"""Predictors without training, or without deep learning, in the model's place."""
