"""From files to scenes: layout, splits, the prepared store, tensors."""
