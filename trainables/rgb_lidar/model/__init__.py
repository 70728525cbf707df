"""Layers that the models of all variants are made of."""
