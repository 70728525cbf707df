"""What the tasks on frozen latents share: knobs, inheritance of the representation, the stage of a head."""
