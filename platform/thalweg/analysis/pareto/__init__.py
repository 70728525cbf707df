"""Several objectives at once: which trials no other one beats in all of them."""
