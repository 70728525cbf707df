"""Contrastive representation of weather fields: encoders, decoders, fusion of variables, tasks on latents."""
