"""Blocks that families share; each runs on any device, in full or half precision."""
