"""The models `benchmarks.train_step` and `benchmarks.train_day` compare: one a file."""
