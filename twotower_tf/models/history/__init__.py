"""History encoders, one idea a file: from the vectors of a user's past items to one vector."""
