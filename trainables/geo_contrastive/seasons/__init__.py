"""Classification of the season from latents."""
