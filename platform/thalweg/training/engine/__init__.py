"""DeepSpeed: its configuration, its engine, mixed precision, and batch norms on several workers."""
