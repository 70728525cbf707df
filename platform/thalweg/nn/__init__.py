"""Layers, losses and measures that families share; each runs on any device, in full or half precision."""
