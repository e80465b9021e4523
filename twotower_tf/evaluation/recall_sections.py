"""The sections of the report on what the model and the baselines find."""

from collections.abc import Sequence

from twotower_tf.evaluation import charts, page
from twotower_tf.evaluation.day_metrics import (
    PROTOCOLS,
    REPEATS,
    DayMetrics,
    decimal,
    methods_of,
    whole,
)

_BY_RECENT = (
    "The catalogue in ten groups of the same size, by how often its items occur in the recent "
    "training examples. An item that nobody acted on recently is in the last groups."
)
_BY_TRAINED = (
    "The items that were in training examples so far, in ten groups of the same size, by how often "
    "they were; after them those that never were."
)


def recall_sections(days: list[DayMetrics], at: list[int]) -> list[str]:
    """Returns the sections, the last day's after those over days.

    Args:
        days: The days, oldest first.
        at: The K.
    """
    today = days[-1]
    title, other = "Recall by popularity", "Recall by popularity in all training"
    return [
        _recall_over_days(days, at),
        _lists(today, at),
        _by_repeat(today, at),
        _by_group(today, at, "recall_by_decile", title, _BY_RECENT)
        or page.section(title, page.note("The day was not evaluated.")),
        _by_group(today, at, "recall_by_popularity", other, _BY_TRAINED, after=["never"]),
    ]


def _recall_over_days(days: list[DayMetrics], at: list[int]) -> str:
    if not at:
        return page.section("Recall", page.note("No day was evaluated yet."))
    drawn, methods = [], methods_of(days)
    for k in at:
        values = {
            (protocol, method): [day.recall(protocol, method, k) for day in days]
            for protocol in PROTOCOLS
            for method in methods
        }
        highest = _highest(values.values())
        for protocol, wording in PROTOCOLS.items():
            # Nothing is known before the first day, so a report of it has no such chart.
            if _highest(values[protocol, method] for method in methods) is None:
                continue
            series = [
                charts.Series(values[protocol, method], colour)
                for colour, method in enumerate(methods)
            ]
            title = f"Recall@{k}, {wording}"
            drawn.append((title, over_days(days, series, title, highest)))
    text = (
        "The share of the day's held-out examples whose item is among the first K of the whole "
        "catalogue. Before training on the day, the model has seen the days before only, as when "
        "it serves; the baselines likewise."
    )
    parts = [page.note(text + averaged(days)), page.legend(list(methods.values()))]
    return page.section("Recall", *parts, page.charts(drawn))


def _lists(today: DayMetrics, at: list[int]) -> str:
    """Returns the means over users of the precision of their lists."""
    titles = [f"{name}@{k}" for name in ("P", "MAP") for k in at]
    keys = [(name, str(k)) for name in ("precision", "map") for k in at]
    rows = _rows(today, keys)
    text = (
        "What one list finds of all that a user acted on in the day's held-out examples, the mean "
        "over users: the list that the first of these examples gets. The share of the first K that "
        "the user acted on (P), and the mean average precision (MAP)."
    )
    if not rows:
        return ""
    return page.section("Lists", page.note(text), page.table(["method", *titles], rows))


def _by_repeat(today: DayMetrics, at: list[int]) -> str:
    # Both protocols have the same examples.
    counts = {
        kind: today.number(
            "evaluate", protocol, "methods", "model", "recall_by_repeat", kind, "held_out"
        )
        for protocol in PROTOCOLS
        if today.get("evaluate", protocol)
        for kind in REPEATS
    }
    shown = [kind for kind in REPEATS if counts.get(kind)]
    titles = [f"R@{k} {kind}" for kind in shown for k in at]
    keys = [("recall_by_repeat", kind, "recall", str(k)) for kind in shown for k in at]
    rows = _rows(today, keys)
    if not rows:
        return ""
    numbers = ", ".join(f"{kind}: {whole(counts[kind])}" for kind in shown)
    text = (
        "Recall of the held-out examples whose item the user never acted on before (new), and of "
        "those whose item they did (repeat), over all of the user's past; unknown: the user acted "
        f"on more items than are counted. Held-out examples, {numbers}."
    )
    table = page.table(["method", *titles], rows)
    return page.section("New and repeated items", page.note(text), table)


def _rows(today: DayMetrics, keys: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """Returns a row a protocol and method; none where no number is known."""
    rows = []
    for protocol in PROTOCOLS:
        for method, name in methods_of([today]).items():
            numbers = [today.number("evaluate", protocol, "methods", method, *key) for key in keys]
            if any(number is not None for number in numbers):
                rows.append([f"{name}, {protocol}", *map(decimal, numbers)])
    return rows


def _by_group(
    today: DayMetrics,
    at: list[int],
    key: str,
    title: str,
    text: str,
    after: Sequence[str] = (),
) -> str:
    """Returns a chart a protocol of recall by groups of items; nothing where none was measured."""
    k = middle(at) if at else 0
    names = methods_of([today])
    measured = {
        protocol: {
            method: today.get("evaluate", protocol, "methods", method, key) for method in names
        }
        for protocol in PROTOCOLS
    }
    measured = {protocol: methods for protocol, methods in measured.items() if methods["model"]}
    if not measured:
        return ""
    recalls = {
        (protocol, method): [(group["recall"] or {}).get(str(k)) for group in groups or []]
        for protocol, methods in measured.items()
        for method, groups in methods.items()
    }
    highest = _highest(recalls.values()) or 0.0
    drawn = []
    for protocol, methods in measured.items():
        counts = [group["held_out"] for group in methods["model"]]
        series = [
            charts.Series(recalls[protocol, method] or [None] * len(counts), colour)
            for colour, method in enumerate(names)
        ]
        chart_title = f"Recall@{k}, {PROTOCOLS[protocol]}"
        chart = charts.by_decile(counts, series, chart_title, highest, after)
        drawn.append((chart_title, chart))
    parts = [page.note(text), page.legend(list(names.values()))]
    return page.section(title, *parts, page.charts(drawn))


def over_days(
    days: list[DayMetrics],
    series: list[charts.Series],
    label: str,
    highest: float | None = None,
    from_zero: bool = True,
) -> str:
    """Draws values over days; see ``charts.over_days``."""
    return charts.over_days([day.day for day in days], series, label, highest, from_zero)


def averaged(days: list[DayMetrics]) -> str:
    """Says how the lines of a chart over some days are drawn, where it isn't plain."""
    if (days[-1].day - days[0].day).days < charts.MOST_DAYS_UNAVERAGED:
        return ""
    return f" Faint: each day. Strong: the mean of the last {charts.AVERAGED_DAYS} days."


def _highest(rows) -> float | None:
    return max((value for row in rows for value in row if value is not None), default=None)


def middle(at: list[int]) -> int:
    """Returns the K that stands for all of some."""
    return at[len(at) // 2]
