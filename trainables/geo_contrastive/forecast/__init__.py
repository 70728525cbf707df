"""Forecasts of fields: a head steps a frozen encoder's latents through time, and the frozen decoder shows them."""
