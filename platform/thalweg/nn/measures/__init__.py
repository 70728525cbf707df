"""Measures that several families share: sums of a batch that add up over batches and workers, and metrics from them.

Each measure sums over samples. Its ``per_sample`` returns one row for each sample, so that sums can also be kept by
unit, such as scene or season.
"""
