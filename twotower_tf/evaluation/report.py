"""The report of a day: one HTML file that shows what the jobs measured, as numbers and pictures."""

import datetime
import os
from collections.abc import Callable, Sequence

from twotower_tf.evaluation import charts, page
from twotower_tf.evaluation.day_metrics import (
    ABSENT,
    METHODS,
    PROTOCOLS,
    DayMetrics,
    cut_offs,
    decimal,
    measured_days,
    read_days,
    whole,
)
from twotower_tf.storage import Workdir

_MOST_ROWS = 60
_DETAILS = {
    "users": ("build_examples", "users"),
    "held-out examples": ("build_examples", "held_out"),
    "duplicate events": ("build_examples", "duplicates"),
    "batches": ("train", "batches"),
    "last step": ("train", "last_step"),
    "temperature": ("train", "temperature"),
    "distinct items of a batch (share)": ("train", "distinct_share"),
    "sketch buckets touched (share)": ("train", "sketch_touched_share"),
    "mean gap in the sketch (steps)": ("train", "sketch_mean_gap"),
    "MRR after training": ("evaluate", "after", "methods", "model", "mrr"),
    "items in the index": ("build_index", "items"),
    "seconds to build the examples": ("build_examples", "seconds"),
    "seconds to train": ("train", "seconds"),
    "seconds to build the index": ("build_index", "seconds"),
}


def write_report(workdir: Workdir, day: datetime.date) -> str:
    """Writes the report of a day, from the metrics of the day and of those before it.

    Whatever was not measured is left out or said to be missing. The file needs nothing besides
    itself, and replaces an older report whole.

    Args:
        workdir: Where the metrics are, and the report goes.
        day: The day; later days are not looked at.

    Returns:
        The path of the report, ``<workdir>/reports/dt=YYYY-MM-DD.html``.

    Raises:
        InputError: If a metrics file is damaged.
    """
    # The day itself is shown even if no job has measured anything on it.
    days = read_days(workdir, sorted({*measured_days(workdir, day), day}))
    path = workdir.path("reports", f"dt={day.isoformat()}.html")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.tmp-{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(_render(days))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return path


def _render(days: list[DayMetrics]) -> str:
    today = days[-1]
    at = cut_offs(days)
    title = f"{today.day:%A}, {today.day.day} {today.day:%B %Y}"
    body = [
        page.header("Daily report of the two-tower pipeline", title, _status(today)),
        _key_numbers(days, at),
        _release(today),
        _recall_over_days(days, at),
        _recall_by_decile(today, at),
        _loss(days),
        _data(days),
        _frequencies(today),
        _details(today),
        _table_of_days(days, at),
    ]
    return page.document(f"Report of {today.day.isoformat()}", body)


def _status(today: DayMetrics) -> page.Cell:
    status, release = today.get("run_daily", "status"), today.get("run_daily", "release")
    gates = today.get("run_daily", "gates") or []
    if any(not gate.get("passed") for gate in gates):
        return page.Cell(f"{status or 'held back'}: a gate failed", "bad")
    if release is not None:
        return page.Cell(f"{status or 'published'}: release {release}", "good")
    return page.Cell(str(status) if status else "no release yet")


def _key_numbers(days: list[DayMetrics], at: list[int]) -> str:
    today, yesterday = days[-1], days[-2] if len(days) > 1 else None
    tiles = []
    if at:
        tiles += [_recall_tile(today, protocol, at[len(at) // 2]) for protocol in PROTOCOLS]
    loss = today.number("train", "loss")
    loss_before = yesterday.number("train", "loss") if yesterday else None
    change = ""
    if loss is not None and loss_before is not None:
        change = f"{loss - loss_before:+.4f} since {yesterday.day.isoformat()}".replace("-", "−", 1)
        change = change if loss < loss_before else f"{loss - loss_before:+.4f} since {yesterday.day}"
    speed = today.number("train", "examples_per_second")
    rejected = today.number("build_examples", "rejected")
    tiles += [
        ("Loss", decimal(loss), change),
        (
            "Examples trained on",
            whole(today.number("train", "examples")),
            f"{whole(speed)} a second" if speed is not None else "",
        ),
        (
            "Events",
            whole(today.number("build_examples", "events")),
            f"{whole(rejected)} rejected ({_percent(today.rejected_share())})"
            if rejected is not None
            else "",
        ),
        (
            "Index recall",
            decimal(today.number("build_index", "index_recall")),
            str(today.get("build_index", "kind") or ""),
        ),
    ]
    return page.tiles(tiles)
