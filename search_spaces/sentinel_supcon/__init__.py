"""What to ask of learning from radar and optical scenes: `losses.py` is the space `sentinel_supcon_losses`."""
