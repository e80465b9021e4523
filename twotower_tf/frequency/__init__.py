"""How often an item is in a batch, estimated from the stream itself, and the study of it."""
