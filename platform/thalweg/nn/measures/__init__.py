"""Measures that several families share: sums of a batch that add up over batches and workers, and metrics from them.

Each sums over samples: ``per_sample`` gives one line for each, so that sums can be kept apart by unit, such as scene or
season, as well.
"""
