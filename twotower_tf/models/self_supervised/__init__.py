"""Items learn from their features alone: two views of each are brought together."""
