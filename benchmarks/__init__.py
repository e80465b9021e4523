"""Side-by-side measurements, one file a subject."""
