"""The losses, one a file, interchangeable by ``loss.kind`` of the configuration."""
