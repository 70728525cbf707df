"""Measures that several families share: sums of a batch that add up over batches and workers, and metrics from them."""
