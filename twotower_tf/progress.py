"""Progress of long work: a bar on a terminal, plain lines with rate and time left in a log."""

import contextlib
import sys
import time
from collections.abc import Iterator

from absl import logging

_SECONDS_BETWEEN_LINES = 5.0
# The first steps of a training are slow; they say nothing about the time that is left.
_SHARE_TO_JUDGE_BY = 0.05


class _Lines:
    """Writes a line every few seconds, without control codes."""

    def __init__(self, title: str, total: int | None, unit: str):
        self._title, self._total, self._unit = title, total, unit
        self._done = 0
        self._start = self._last_line = time.monotonic()
        self._wrote = False

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._wrote = True
            logging.info("%s", describe(self._title, self._done, self._total, now - self._start))

    def close(self) -> None:
        # Work that was over before the first line was due does not need a last one.
        if self._wrote:
            seconds = time.monotonic() - self._start
            logging.info("%s: %s %s in %.0f s", self._title, f"{self._done:,}", self._unit, seconds)


class _Bar:
    """Draws a bar with rich."""

    def __init__(self, title: str, total: int | None, unit: str):
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.completed:,.0f} " + unit),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeRemainingColumn(),
            transient=True,
        )
        self._task = self._bar.add_task(title, total=total, rate="")
        self._bar.start()

    def advance(self, count: int) -> None:
        speed = self._bar.tasks[self._task].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        self._bar.update(self._task, advance=count, rate=rate)

    def close(self) -> None:
        self._bar.stop()


def describe(title: str, done: int, total: int | None, seconds: float) -> str:
    """Words the state of some work: how much of it, its rate, the time left."""
    rate = done / seconds if seconds > 0 else 0.0
    if not total:
        return f"{title}: {done:,}, {rate:,.0f}/s"
    known = rate and done >= _SHARE_TO_JUDGE_BY * total
    left = f"{(total - done) / rate:,.0f} s left" if known else "time left not known yet"
    return f"{title}: {done:,} of {total:,} ({done / total:.0%}), {rate:,.0f}/s, {left}"


@contextlib.contextmanager
def progress(title: str, total: int | None, unit: str) -> Iterator[_Lines | _Bar]:
    """Shows the progress of the work in the block, which calls ``advance(count)`` on the result.

    Args:
        title: What is being done.
        total: How much there is, or None if that isn't known.
        unit: What is counted, in the plural.
    """
    shown = (_Bar if sys.stderr.isatty() else _Lines)(title, total, unit)
    try:
        yield shown
    finally:
        shown.close()
