"""Several objectives and constraints: what trials keep, and what samplers see of them."""
