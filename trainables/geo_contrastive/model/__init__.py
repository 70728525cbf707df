"""Networks from fields to a latent vector and back."""
