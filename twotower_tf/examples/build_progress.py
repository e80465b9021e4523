"""Progress of a build, as far as its workers run in this process (Beam's in-process runner)."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator

from twotower_tf.progress import progress

_SECONDS_BETWEEN_LOOKS = 0.5

# Advanced by the workers' threads; a count more or less does not matter.
_advanced: Counter[str] = Counter()


def advance(phase: str, events: int = 1) -> None:
    """Counts records read, by their log, or events ``made`` into examples."""
    _advanced[phase] += events


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Shows the progress of the build in the block: first the reading, then the making."""
    _advanced.clear()
    over = threading.Event()
    thread = threading.Thread(target=_show, args=(over,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _show(over: threading.Event) -> None:
    # Nothing is known of workers in other processes, and nothing said.
    while not _advanced:
        if over.wait(_SECONDS_BETWEEN_LOOKS):
            return
    with progress("reading events", None, "events") as display:
        _follow("events", display, over, until=lambda: _advanced["made"] > 0)
    with progress("making examples", _advanced["events"], "events") as display:
        _follow("made", display, over, until=lambda: False)


def _follow(phase: str, display, over: threading.Event, until: Callable[[], bool]) -> None:
    done = 0
    while not over.wait(_SECONDS_BETWEEN_LOOKS) and not until():
        now = _advanced[phase]
        display.advance(now - done)
        done = now
