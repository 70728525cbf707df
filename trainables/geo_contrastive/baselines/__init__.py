"""Predictors without training."""
