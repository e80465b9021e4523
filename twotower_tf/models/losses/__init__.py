"""The losses, one idea a file, interchangeable by ``loss.kind`` of the configuration."""
