"""How often an item is in a batch, estimated from the stream itself."""
