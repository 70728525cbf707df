"""How much each searched parameter matters, with its uncertainty."""
