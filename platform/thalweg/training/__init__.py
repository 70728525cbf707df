"""One configuration trained in one process group: loop, DeepSpeed, evaluation, checkpoints. Knows no Ray."""
