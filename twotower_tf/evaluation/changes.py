"""What was changed of the configuration from one day to the next, as the jobs recorded it."""

import json
from collections.abc import Sequence
from typing import Any

from twotower_tf.binding.settings import Change, changes
from twotower_tf.evaluation import page
from twotower_tf.evaluation.day_metrics import DayMetrics

# Each records the settings that it goes by itself.
_JOBS = ("build_examples", "train", "train_ranking", "run_daily")
COLUMNS = ("since", "key", "before", "now")
_LONGEST = 60


def changed(days: Sequence[DayMetrics]) -> list[Change]:
    """Returns what changed from each day to the next, oldest first.

    Args:
        days: Oldest first. A day that a job recorded no settings of is passed over.
    """
    of_jobs = [changes((day.day, day.get(job, "settings")) for day in days) for job in _JOBS]
    return sorted((one for found in of_jobs for one in found), key=lambda one: (one.day, one.key))


def row_of(change: Change) -> list[str]:
    """Returns what a table says of a change, under ``COLUMNS``."""
    return [change.day.isoformat(), change.key, _shown(change.before), _shown(change.now)]


def change_section(days: Sequence[DayMetrics]) -> str:
    """Returns the section of the report, nothing where nothing changed."""
    rows = [row_of(one) for one in reversed(changed(days))]
    if not rows:
        return ""
    text = "What each day was done with that the day before was not; the newest day first."
    return page.section(
        "Changes of the configuration", page.note(text), page.table(list(COLUMNS), rows)
    )


def _shown(value: Any) -> str:
    text = "default" if value is None else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]} ..."
