"""Contrastive representation of weather fields: encoders, decoders, fusion of variables, tasks on latents.

Two parts of the experiment that the family follows are left out. Forecasts have an LSTM and a transformer, no neural
ODE. And no number here comes from the whole ERA5 record of 1959 to 2022, whose data are not at hand: the preset
``reference`` has its sizes, and ``thalweg data import weather-fields`` reads it, which was tried on other fields only.
"""
