"""The jobs, one a file: flags in, one library call, metrics out."""
