"""What a family provides so that its models predict from arrays in physical units."""
