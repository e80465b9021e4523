"""What the protocol found: as a table, as JSON, and as a page with charts."""

import dataclasses
import os

from twotower_tf.evaluation import charts, page
from twotower_tf.storage import write_json, write_text
from twotower_tf.studies.protocol_plan import CATCH_UP, MEASURED
from twotower_tf.studies.protocol_study import POPULAR, ProtocolStudy, recalls_of

# So many lines a chart has colours for.
_MOST_LINES = 5


def as_dictionary(study: ProtocolStudy) -> dict:
    """Returns all figures as they are written."""
    return {
        "caught_up": [day.isoformat() for day in study.caught_up],
        "measured": [day.isoformat() for day in study.measured],
        "held_out": study.held_out,
        "losses": {kind: _figures(study, kind) for kind in study.runs},
        POPULAR: {str(k): study.recall(next(iter(study.runs)), k, POPULAR).mean for k in study.at},
    }


def _figures(study: ProtocolStudy, kind: str) -> dict:
    return {
        "settings": study.configs[kind].loss.model_dump(mode="json"),
        "recall": {str(k): dataclasses.asdict(study.recall(kind, k)) for k in study.at},
        "ratio_to_plain": {str(k): study.ratio_to_plain(kind, k) for k in study.at},
        "by_seed_and_day": {
            str(seed): {str(k): recalls_of(days, "model", k) for k in study.at}
            for seed, days in study.runs[kind].items()
        },
    }


def as_table(study: ProtocolStudy) -> str:
    """Writes a row a loss: Recall@K with its standard error, and the ratios to plain."""
    return "\n".join(
        f"{name:36}" + "".join(f"{cell:>18}" for cell in cells) for name, *cells in _rows(study)
    )


def _rows(study: ProtocolStudy) -> list[list[str]]:
    titles = ["", *(f"R@{k}" for k in study.at), *(f"/ plain @{k}" for k in study.at)]
    rows = [titles]
    for kind in study.runs:
        ratios = [study.ratio_to_plain(kind, k) for k in study.at]
        recalls = [str(study.recall(kind, k)) for k in study.at]
        rows.append([kind, *recalls, *("-" if one is None else f"{one:.3f}" for one in ratios)])
    first = next(iter(study.runs))
    popular = [f"{study.recall(first, k, POPULAR).mean:.4f}" for k in study.at]
    return [*rows, ["most popular items", *popular, *("-" for _ in study.at)]]


def write_study(study: ProtocolStudy, folder: str) -> str:
    """Writes ``protocol.json`` and ``protocol.html`` into a folder; returns the page's path."""
    write_json(os.path.join(folder, "protocol.json"), as_dictionary(study))
    path = os.path.join(folder, "protocol.html")
    write_text(path, _page(study))
    return path


def _page(study: ProtocolStudy) -> str:
    titles, *rows = _rows(study)
    days, seeds = study.measured, len(next(iter(study.runs.values())))
    explained = page.note(
        f"Caught up over {len(study.caught_up)} days (in the paper {CATCH_UP}); then, for each of "
        f"{MEASURED} days, the recall of its held-out examples after training on the others. Mean "
        f"over the days, of {seeds} {'seed' if seeds == 1 else 'seeds'}; ± is the standard error "
        f"over seeds. {sum(study.held_out):,} held-out examples."
    )
    drawn = list(study.runs)[:_MOST_LINES]
    pictures = [(f"Recall@{k}", _chart(study, drawn, k)) for k in study.at]
    body = [
        page.header("The protocol of Yi et al. 2019", f"{days[0]} to {days[-1]}", page.Cell("")),
        page.section("Recall by loss", explained, page.table(titles, rows)),
        page.section("Recall day by day", page.legend(drawn), page.charts(pictures)),
    ]
    return page.document("The protocol of Yi et al. 2019", body)


def _chart(study: ProtocolStudy, kinds: list[str], k: int) -> str:
    series = [
        charts.Series(study.recall_by_day(kind, k), colour) for colour, kind in enumerate(kinds)
    ]
    return charts.over_days(study.measured, series, f"Recall@{k} by loss, day by day")
