"""The section of the report on the ranking model: its order against others', its calibration."""

from twotower_tf.evaluation import charts, page
from twotower_tf.evaluation.day_metrics import PROTOCOLS, DayMetrics, decimal
from twotower_tf.evaluation.recall_sections import averaged, over_days

_JOB = "evaluate_ranking"
_METHODS = {
    "model": "ranking model",
    "nomination_score": "nomination score",
    "most_clicked": "most clicked",
    "mean_watch_time": "mean watch time",
}
# Further numbers of a day, by what they are called: the keys they stand under.
DETAILS = {
    "impressions trained on": ("train_ranking", "examples"),
    "ranking: loss": ("train_ranking", "loss"),
    "ranking: seconds to train": ("train_ranking", "seconds"),
    "held-out impressions": (_JOB, "after", "impressions"),
}
_MEASURES = {"user_loss": "loss", "auc": "AUC", "user_auc": "AUC by user", "ndcg": "NDCG"}


def ranking_sections(days: list[DayMetrics]) -> list[str]:
    """Returns the sections on ranking; none where no day's impressions were evaluated.

    Args:
        days: The days, oldest first.
    """
    if not any(day.get(_JOB) for day in days):
        return []
    return [_order(days), _calibration(days[-1])]


def _order(days: list[DayMetrics]) -> str:
    methods = {
        method: name
        for method, name in _METHODS.items()
        if any(_loss(day, protocol, method) is not None for day in days for protocol in PROTOCOLS)
    }
    drawn = []
    for protocol, wording in PROTOCOLS.items():
        losses = [[_loss(day, protocol, method) for day in days] for method in methods]
        if any(value is not None for row in losses for value in row):
            series = [charts.Series(row, colour) for colour, row in enumerate(losses)]
            title = f"Weighted per-user loss, {wording}"
            drawn.append((title, over_days(days, series, title)))
    text = (
        "Of the pairs of a clicked and an unclicked impression of a page, the watched seconds of "
        "those in the wrong order, as a share of all (the lower, the better); in the held-out "
        "pages of the day, all impressions scored as if at the first position."
    )
    parts = [page.note(text + averaged(days)), page.legend(list(methods.values()))]
    return page.section("Ranking", *parts, page.charts(drawn), _table(days[-1], methods))


def _table(today: DayMetrics, methods: dict[str, str]) -> str:
    rows = []
    for protocol in PROTOCOLS:
        for method, name in methods.items():
            numbers = [_measured(today, protocol, method, key) for key in _MEASURES]
            if any(number is not None for number in numbers):
                rows.append([f"{name}, {protocol}", *map(decimal, numbers)])
    return page.table(["method", *_MEASURES.values()], rows) if rows else ""


def _calibration(today: DayMetrics) -> str:
    found = today.get(_JOB, "after", "calibration") or today.get(_JOB, "before", "calibration")
    if not found or not found["by_decile"]:
        return ""
    by_position = found["by_position"]
    names = [str(number + 1) for number in range(len(found["by_decile"]))]
    drawn = [("By what was predicted", _bars(found["by_decile"], names, "decile of prediction"))]
    if by_position:
        names = [f"{group['position']:g}" for group in by_position]
        drawn.append(("By position", _bars(by_position, names, "position on the page")))
    text = (
        "The mean of predicted and of watched seconds, in ten groups of held-out impressions by "
        "what was predicted, and by position, with the number of impressions. All predicted over "
        f"all watched seconds: {decimal(found['ratio'], 3)}."
    )
    parts = [page.note(text), page.legend(["predicted", "watched"])]
    return page.section("Calibration of the watch time", *parts, page.charts(drawn))


def _bars(groups: list[dict], names: list[str], what: str) -> str:
    series = [
        charts.Series([group[key] for group in groups], colour)
        for colour, key in enumerate(("predicted", "watched"))
    ]
    highest = max(group[key] for group in groups for key in ("predicted", "watched"))
    counts = [group["impressions"] for group in groups]
    return charts.bars(names, counts, series, f"Seconds by {what}", f"{what}, impressions", highest)


def _loss(day: DayMetrics, protocol: str, method: str) -> float | None:
    return _measured(day, protocol, method, "user_loss")


def _measured(day: DayMetrics, protocol: str, method: str, key: str) -> float | None:
    return day.number(_JOB, protocol, "methods", method, key)
