"""DeepSpeed: its configuration, its engine, and number formats of 16 bits."""
