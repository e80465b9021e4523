"""What Linux says of memory."""

import pathlib


def memory(field: str, file: str = "/proc/self/status") -> int:
    """Returns a field of this process's memory, or of another file's, in bytes."""
    lines = pathlib.Path(file).read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
