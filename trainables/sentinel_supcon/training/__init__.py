"""Training: self-supervised pre-training of encoders, then tuning with labels."""
