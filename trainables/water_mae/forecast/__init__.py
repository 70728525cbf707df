"""Forecasts of river flow on frozen encoders, and the regression beside them."""
