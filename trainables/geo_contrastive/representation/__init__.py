"""The representation: contrastive pre-training of an encoder, and a decoder of its latents."""
