"""What to ask of contrastive weather fields: `objectives.py` is the space `geo_contrastive_objectives`."""
