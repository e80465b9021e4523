"""The report of a day: one HTML file that shows what the jobs measured, as numbers and pictures."""

import datetime
from collections.abc import Callable

from twotower_tf.evaluation import charts, page
from twotower_tf.evaluation.changes import change_section
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
from twotower_tf.evaluation.ranking_sections import DETAILS, ranking_sections
from twotower_tf.evaluation.recall_sections import averaged, middle, over_days, recall_sections
from twotower_tf.storage import Workdir, write_text

_MOST_ROWS = 60
_DETAILS = {
    "users": ("build_examples", "users"),
    "held-out examples": ("build_examples", "held_out"),
    "duplicate events": ("build_examples", "duplicates"),
    "seed items in the catalogue (share)": ("build_examples", "matches", "seeds", "share"),
    "items of histories in the catalogue (share)": (
        "build_examples",
        "matches",
        "histories",
        "share",
    ),
    "events on items of the catalogue (share)": ("build_examples", "matches", "items", "share"),
    "users with a profile (share)": ("build_examples", "matches", "profiles", "share"),
    "batches": ("train", "batches"),
    "last step": ("train", "last_step"),
    "temperature": ("train", "temperature"),
    "weight: sum of rewards": ("train", "weight"),
    "distinct items of a batch": ("train", "items_per_batch"),
    "distinct items of a batch (share)": ("train", "distinct_share"),
    "sketch buckets touched (share)": ("train", "sketch_touched_share"),
    "mean gap in the sketch (steps)": ("train", "sketch_mean_gap"),
    "MRR after training": ("evaluate", "after", "methods", "model", "mrr"),
    "items in the index": ("build_index", "items"),
    "recent examples whose item is in the index (share)": ("build_index", "coverage"),
    "seconds to build the examples": ("build_examples", "seconds"),
    "seconds to train": ("train", "seconds"),
    "seconds to build the index": ("build_index", "seconds"),
    **DETAILS,
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
    write_text(path, _render(days))
    return path


def _render(days: list[DayMetrics]) -> str:
    today = days[-1]
    at = cut_offs(days)
    title = f"{today.day:%A}, {today.day.day} {today.day:%B %Y}"
    body = [
        page.header("Daily report of the two-tower pipeline", title, _status(today)),
        _key_numbers(days, at),
        _gates(today),
        _selection(today),
        *recall_sections(days, at),
        *ranking_sections(days),
        _training(days),
        _data(days),
        _frequencies(today),
        change_section(days),
        _details(today),
        _table_of_days(days, at),
    ]
    return page.document(f"Report of {today.day.isoformat()}", body)


def _status(today: DayMetrics) -> page.Cell:
    status, release = today.get("run_daily", "status"), today.get("run_daily", "release")
    if any(not gate.get("passed") for gate in today.get("run_daily", "gates") or []):
        return page.Cell(f"{status or 'held back'}: a gate failed", "bad")
    if release is not None:
        return page.Cell(f"{status or 'published'}: release {release}", "good")
    return page.Cell(str(status) if status is not None else "no release known")


def _key_numbers(days: list[DayMetrics], at: list[int]) -> str:
    today = days[-1]
    tiles = [_recall_tile(today, protocol, middle(at)) for protocol in PROTOCOLS if at]
    tiles.append(("Loss", decimal(today.number("train", "loss")), _change_of_loss(days)))
    speed = today.number("train", "examples_per_second")
    proportion = "" if speed is None else f"{whole(speed)} a second"
    tiles.append(("Examples trained on", whole(today.number("train", "examples")), proportion))
    rejected = today.number("build_examples", "rejected")
    proportion = "" if rejected is None else f"{whole(rejected)} rejected ({_rejected(today)})"
    tiles.append(("Events", whole(today.number("build_examples", "events")), proportion))
    index_recall = decimal(today.number("build_index", "index_recall"))
    proportion = str(today.get("build_index", "kind") or "").replace("_", " ")
    tiles.append(("Index against exact search", index_recall, proportion))
    return page.tiles(tiles)


def _recall_tile(today: DayMetrics, protocol: str, k: int) -> tuple[str, str, str]:
    recalls = {method: today.recall(protocol, method, k) for method in METHODS}
    own = recalls.pop("model")
    known = {method: recall for method, recall in recalls.items() if recall is not None}
    proportion = ", ".join(
        f"{METHODS[method]} {decimal(recall)}" for method, recall in known.items()
    )
    return f"Recall@{k} {PROTOCOLS[protocol].removesuffix(' on the day')}", decimal(own), proportion


def _change_of_loss(days: list[DayMetrics]) -> str:
    losses = [(day.day, day.number("train", "loss")) for day in days[-2:]]
    if len(losses) < 2 or any(loss is None for _, loss in losses):
        return ""
    (before_day, before), (_, now) = losses
    return f"{now - before:+.4f} against {before_day.isoformat()}"


def _gates(today: DayMetrics) -> str:
    gates = today.get("run_daily", "gates")
    if not gates:
        return ""
    rows = []
    for gate in gates:
        passed = bool(gate.get("passed"))
        verdict = page.Cell("passed" if passed else "failed", "good" if passed else "bad")
        values = [_any(gate.get("measured")), _any(gate.get("required"))]
        rows.append([str(gate.get("name")).replace("_", " "), *values, verdict])
    return page.section("Gates", page.table(["gate", "measured", "required", ""], rows))


def _selection(today: DayMetrics) -> str:
    selection = today.get("build_index", "selection")
    if not selection:
        return ""
    left = selection["rows"]
    rows = [["rows in the catalogue", "", whole(left)]]
    for one in selection["left_out"]:
        left -= one["items"]
        rows.append([one["rule"].replace("_", " "), whole(one["items"]), whole(left)])
    broken = today.number("build_index", "broken")
    rows.append(["vector not finite", whole(broken), whole(today.number("build_index", "items"))])
    text = f"Kept by always_hours alone: {whole(selection['always'])} items."
    table = page.table(["rule", "items left out", "items left"], rows)
    return page.section("Candidate selection", table, page.note(text))


def _training(days: list[DayMetrics]) -> str:
    speed = [day.number("train", "examples_per_second") for day in days]
    drawn = [
        ("Loss", over_days(days, [charts.Series(_losses(days))], "Loss", from_zero=False)),
        ("Examples a second", over_days(days, [charts.Series(speed)], "Examples a second")),
    ]
    return page.section("Training", page.note(averaged(days)), page.charts(drawn))


def _losses(days: list[DayMetrics]) -> list[float | None]:
    return [day.number("train", "loss") for day in days]


def _data(days: list[DayMetrics]) -> str:
    counts = [
        charts.Series([day.number("build_examples", key) for day in days], colour)
        for colour, key in enumerate(("events", "examples"))
    ]
    shares = [day.rejected_share() for day in days]
    rejected = [charts.Series([None if each is None else 100 * each for each in shares], 2)]
    title = "Rejected, in % of the events"
    drawn = [
        ("Events and examples", over_days(days, counts, "Events and examples")),
        (title, over_days(days, rejected, title)),
    ]
    legend = page.legend(["events", "examples", "rejected"])
    return page.section("Data", page.note(averaged(days)), legend, page.charts(drawn))


def _frequencies(today: DayMetrics) -> str:
    title = "Item frequencies"
    points = today.get("evaluate", "frequencies", "points")
    if not points:
        return page.section(title, page.note("The frequencies of the day were not compared."))
    pairs = [(point["counted"], point["estimated"]) for point in points]
    ratio = today.number("evaluate", "frequencies", "summary", "median_ratio")
    error = today.number("evaluate", "frequencies", "summary", "mean_abs_log2_ratio")
    items = today.number("evaluate", "frequencies", "summary", "items")
    text = (
        "The probability that an item is in a batch, as the sketch estimates it and as counted "
        f"over the day's batches: {len(pairs)} of {whole(items)} items. The median ratio of "
        f"estimated to counted is {decimal(ratio, 3)}; the mean |log2 of the ratio|, weighted "
        f"with the frequency, is {decimal(error, 3)} (1: wrong by a factor of two)."
    )
    chart = charts.estimated_against_counted(pairs, "Estimated against counted frequencies")
    return page.section(title, page.note(text), page.charts([("Estimated and counted", chart)]))


def _details(today: DayMetrics) -> str:
    values = [(name, today.number(*keys)) for name, keys in _DETAILS.items()]
    rows = [[name, _any(value)] for name, value in values if value is not None]
    return (
        page.section("Details of the day", page.table(["measure", "value"], rows)) if rows else ""
    )


def _table_of_days(days: list[DayMetrics], at: list[int]) -> str:
    columns: dict[str, Callable[[DayMetrics], str]] = {
        "day": lambda day: day.day.isoformat(),
        "release": lambda day: str(day.get("run_daily", "release") or ABSENT),
        "events": lambda day: whole(day.number("build_examples", "events")),
        "examples": lambda day: whole(day.number("build_examples", "examples")),
        "held out": lambda day: whole(day.number("build_examples", "held_out")),
        "rejected": _rejected,
        "ex/s": lambda day: whole(day.number("train", "examples_per_second")),
        "loss": lambda day: decimal(day.number("train", "loss")),
    }
    for protocol in PROTOCOLS:
        for k in at:
            columns[f"R@{k} {protocol}"] = lambda day, protocol=protocol, k=k: decimal(
                day.recall(protocol, "model", k)
            )
    shown = days[: -_MOST_ROWS - 1 : -1]
    rows = [[write(day) for write in columns.values()] for day in shown]
    text = "Recall of the model, before and after training on the day; the newest day first."
    if len(days) > len(shown):
        text += f" The last {len(shown)} of {len(days)} days."
    return page.section("Days", page.note(text), page.table(list(columns), rows))


def _rejected(day: DayMetrics) -> str:
    share = day.rejected_share()
    return ABSENT if share is None else f"{100 * share:.2f} %"


def _any(value) -> str:
    """Writes a value of any kind, a number with at most four significant decimals."""
    if value is None:
        return ABSENT
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.4g}" if abs(value) < 1000 else whole(value)
    return whole(value) if isinstance(value, (int, float)) else str(value)
