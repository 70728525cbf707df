"""Data assimilation: fields from sparse and noisy observations."""
