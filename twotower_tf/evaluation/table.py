"""The plain-text table of days that ``run_daily`` prints at its end."""

import datetime
from collections.abc import Iterable, Sequence

from twotower_tf.evaluation.day_metrics import (
    DayMetrics,
    cut_offs,
    decimal,
    methods_of,
    read_days,
    whole,
)
from twotower_tf.storage import Workdir

# So many columns of recall fit beside the others; of a method at most so many.
_MOST_RECALLS, _MOST_RECALLS_BESIDE_RANKING = 10, 8
_MOST_CUT_OFFS = 3


def day_table(workdir: Workdir, days: Sequence[datetime.date], protocol: str = "after") -> str:
    """Writes a line a day: the data, the training, and recall of the model and the baselines.

    With a second stage also the weighted per-user loss of the ranking model (the lower, the
    better), and that of the best method without a model.

    Args:
        workdir: Where the metrics are.
        days: Which days, in the order of the lines; those without metrics have dashes.
        protocol: Which recall to show: ``"after"`` training on the day, or ``"before"``.

    Returns:
        The lines, without a newline at the end; at most 140 columns wide, for which at most three
        K (the first, the middle and the last) are shown, of many methods two or the middle one.

    Raises:
        ValueError: If the protocol is neither.
    """
    if protocol not in ("before", "after"):
        raise ValueError(f"protocol must be 'before' or 'after', got '{protocol}'")
    metrics = read_days(workdir, days)
    methods = methods_of(metrics)
    ranks = any(day.get("evaluate_ranking") for day in metrics)
    most = _MOST_RECALLS_BESIDE_RANKING if ranks else _MOST_RECALLS
    at = _few(cut_offs(metrics), min(_MOST_CUT_OFFS, most // len(methods)))
    groups = [("", ["day", "events", "examples", "rejected", "ex/s", "loss"])]
    groups += [(name, [f"R@{k}" for k in at]) for name in methods.values() if at]
    if ranks:
        groups.append(("ranking: user loss", ["model", "best other"]))
    titles = [title for _, titles in groups for title in titles]
    rows = [titles]
    for day in metrics:
        rows.append(_row(day, protocol, methods, at) + (_ranking(day, protocol) if ranks else []))
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    _widen(widths, groups)
    lines = [_line(row, widths) for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([_group_line(groups, widths), lines[0], rule, *lines[1:]])


def _few(at: list[int], most: int) -> list[int]:
    if len(at) <= most:
        return at
    if most == 1:
        return [at[len(at) // 2]]
    return [at[0], at[-1]] if most == 2 else [at[0], at[len(at) // 2], at[-1]]


def _row(day: DayMetrics, protocol: str, methods: Iterable[str], at: list[int]) -> list[str]:
    counts = [day.number("build_examples", key) for key in ("events", "examples", "rejected")]
    return [
        day.day.isoformat(),
        *map(whole, counts),
        whole(day.number("train", "examples_per_second")),
        decimal(day.number("train", "loss")),
        *(decimal(day.recall(protocol, method, k)) for method in methods for k in at),
    ]


def _ranking(day: DayMetrics, protocol: str) -> list[str]:
    """Returns the weighted per-user loss of the ranking model, and the least of what needs none."""
    methods = day.get("evaluate_ranking", protocol, "methods") or {}
    losses = {
        name: day.number("evaluate_ranking", protocol, "methods", name, "user_loss")
        for name in methods
    }
    own = losses.pop("model", None)
    others = [loss for loss in losses.values() if loss is not None]
    return [decimal(own), decimal(min(others, default=None))]


def _widen(widths: list[int], groups: list[tuple[str, list[str]]]) -> None:
    """Makes the first column of a group so wide that the group's name fits above it."""
    start = 0
    for name, titles in groups:
        end = start + len(titles)
        widths[start] += max(0, len(name) - sum(widths[start:end]) - 2 * (len(titles) - 1))
        start = end


def _line(row: list[str], widths: list[int]) -> str:
    return "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def _group_line(groups: list[tuple[str, list[str]]], widths: list[int]) -> str:
    """Writes each group's name above its columns, at their right edge."""
    cells, start = [], 0
    for name, titles in groups:
        end = start + len(titles)
        cells.append(name.rjust(sum(widths[start:end]) + 2 * (len(titles) - 1)))
        start = end
    return "  ".join(cells).rstrip()
