"""Forecasts of a series: a linear head on encoders, scores of floods and low flows, ridge and LSTM as baselines."""
