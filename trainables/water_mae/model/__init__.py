"""The masked autoencoder for one device, and its losses."""
