"""Forecasts of river flow: a linear head on encoders, scores of floods and low flows, ridge and LSTM as baselines."""
