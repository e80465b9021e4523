"""The sequential trainer: one day after the other, each day once."""
