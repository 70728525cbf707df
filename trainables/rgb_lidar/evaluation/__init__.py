"""Metrics and predictors without training."""
