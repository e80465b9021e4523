"""What reproduces the papers' experiments, and compares systems in a closed loop (off the path)."""
