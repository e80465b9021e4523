"""What the jobs measured on each day, read back for the report and the table."""

import dataclasses
import datetime
import json
import math
import re
from collections.abc import Iterable

from twotower_tf.errors import InputError
from twotower_tf.storage import Workdir, names, read_json, write_json

JOBS = (
    "build_examples",
    "train",
    "train_ranking",
    "evaluate",
    "evaluate_ranking",
    "build_index",
    "run_daily",
)
METHODS = {
    "model": "model",
    "index_only": "index only",
    "own_items": "own items",
    "most_popular": "most popular",
    "after_seed": "after seed",
    "item_knn": "item knn",
}
# What there is of every day; of the others, where their nominator or their counts are configured.
_ALWAYS = ("model", "most_popular", "after_seed")
# What a held-out example is to its user, as far as the counted past tells.
REPEATS = ("new", "repeat", "unknown")
PROTOCOLS = {"before": "before training on the day", "after": "after training on the day"}
ABSENT = "-"

_METRICS_FILE = re.compile(r"^dt=(\d{4}-\d{2}-\d{2})\.json$")


@dataclasses.dataclass(frozen=True)
class DayMetrics:
    """The metrics of one day, any part of which may be missing.

    Attributes:
        day: The day.
        jobs: What each job that ran wrote.
    """

    day: datetime.date
    jobs: dict[str, dict]

    def get(self, *keys: str):
        """Returns the value under a job and its keys; None where there is none."""
        value = self.jobs
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def number(self, *keys: str) -> float | int | None:
        """Returns the number under a job and its keys; None where there is no finite one."""
        value = self.get(*keys)
        usable = isinstance(value, (int, float)) and not isinstance(value, bool)
        return value if usable and math.isfinite(value) else None

    def recall(self, protocol: str, method: str, k: int) -> float | None:
        """Returns a method's recall at k on the day's held-out examples, where measured."""
        return self.number("evaluate", protocol, "methods", method, "recall", str(k))

    def rejected_share(self) -> float | None:
        """Returns the share of the day's events that could not be used, where known."""
        events = self.number("build_examples", "events")
        rejected = self.number("build_examples", "rejected")
        return rejected / events if events and rejected is not None else None


def read_days(workdir: Workdir, days: Iterable[datetime.date]) -> list[DayMetrics]:
    """Reads the metrics of some days, in their order.

    Raises:
        InputError: If a metrics file is damaged.
    """
    result = []
    for day in days:
        found = {job: _read(workdir.metrics_path(job, day)) for job in JOBS}
        result.append(DayMetrics(day, {job: read for job, read in found.items() if read}))
    return result


def record(workdir: Workdir, job: str, day: datetime.date, measured: dict) -> dict:
    """Adds what was measured, before or after training on a day, to an evaluation's metrics.

    Args:
        workdir: Where the metrics are.
        job: Which evaluation: ``evaluate`` or ``evaluate_ranking``.
        day: The day.
        measured: By protocol, and what else there is.

    Returns:
        All that was measured of the day.
    """
    path = workdir.metrics_path(job, day)
    known = read_json(path) or {"day": day.isoformat(), "before": None, "after": None}
    write_json(path, known | measured)
    return known | measured


def measured_days(workdir: Workdir, until: datetime.date) -> list[datetime.date]:
    """Returns the days up to ``until`` that any job has metrics of, oldest first."""
    days = set()
    for job in JOBS:
        matches = filter(None, map(_METRICS_FILE.match, names(workdir.path("metrics", job))))
        days |= {datetime.date.fromisoformat(match[1]) for match in matches}
    return sorted(day for day in days if day <= until)


def methods_of(days: list[DayMetrics]) -> dict[str, str]:
    """Returns the methods to show of some days, by their key: those that any was measured by."""
    measured = {
        method
        for day in days
        for protocol in PROTOCOLS
        for method in day.get("evaluate", protocol, "methods") or ()
    }
    shown = measured.union(_ALWAYS)
    return {method: name for method, name in METHODS.items() if method in shown}


def cut_offs(days: list[DayMetrics]) -> list[int]:
    """Returns the K that recall was measured at on the newest evaluated day, ascending."""
    for day in reversed(days):
        for protocol in reversed(PROTOCOLS):
            recall = day.get("evaluate", protocol, "methods", "model", "recall")
            if recall:
                return sorted(int(k) for k in recall)
    return []


def whole(value: float | None) -> str:
    """Writes a count: ``12,345``, or a dash where there is none."""
    return ABSENT if value is None else f"{value:,.0f}"


def decimal(value: float | None, places: int = 4) -> str:
    """Writes a measurement with some decimal places, or a dash where there is none."""
    return ABSENT if value is None else f"{value:.{places}f}"


def _read(path: str) -> dict | None:
    try:
        return read_json(path)
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON ({error}); run its job again for that day") from error
