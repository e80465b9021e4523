"""What reproduces the papers' experiments (off the product path)."""
