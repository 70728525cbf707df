"""Contrastive losses over a whole batch, and what belongs to them: temperature, unit length, retrieval."""
