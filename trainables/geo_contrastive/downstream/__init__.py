"""What the tasks on frozen latents share: knobs, latents, the stage of a head."""
