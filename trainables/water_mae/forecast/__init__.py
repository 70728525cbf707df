"""Forecasts of river flow: a linear head on frozen encoders, and a ridge regression as baseline."""
