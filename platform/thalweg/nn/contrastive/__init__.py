"""Contrastive losses over a whole global batch, with temperature, unit-length embeddings and retrieval."""
