"""What tells a family that its code is at fault: errors that it raises, and values that it returns wrong."""
