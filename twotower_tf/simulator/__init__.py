"""A video platform with known tastes: its users, items and logs (off the product path)."""
