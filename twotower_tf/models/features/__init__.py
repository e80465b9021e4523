"""The kinds of features, one idea a file, interchangeable by ``kind`` in a tower's ``features``."""
