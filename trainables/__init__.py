"""What is trained: one folder is one model family."""
