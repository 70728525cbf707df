"""Conditional diffusion of latents: samples of the fields that a masked one may belong to."""
