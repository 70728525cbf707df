"""Measures and pictures of reconstructions and latents."""
