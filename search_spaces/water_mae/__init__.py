"""What to ask of the masked autoencoder: `masking.py` is the space `water_mae_masking`."""
