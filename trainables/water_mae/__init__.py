"""Masked autoencoder over gridded weather and river catchments."""
