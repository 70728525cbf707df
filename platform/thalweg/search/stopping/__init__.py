"""When a study ends before its number of trials: its limits, and what more trials are expected to bring."""
