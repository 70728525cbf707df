"""Image and scan together tell the class, in one stage."""
