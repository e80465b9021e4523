"""The model card of a release: what it was made of, how good it is, where its limits are.

Written beside the model for whoever finds the folder (Mitchell et al. 2019, "Model cards for model
reporting"), with the whole configuration.
"""

import datetime
import os

from twotower_tf.config import Config
from twotower_tf.config.tower import TowerSection
from twotower_tf.storage import write_json

CARD_FILE = os.path.join("assets.extra", "model_card.md")
CONFIGURATION_FILE = os.path.join("assets.extra", "configuration.json")

_LIMITS = """\
- It recommends only the items of its index: those of the catalogue of its day that the selection
  let in. Newer ones come with the next release, or with `refresh_index`.
- Ids it never saw in training hash to shared embeddings: the answer to a query of such ids alone
  is close to what is popular.
- It was trained on what users chose among what was shown to them: it repeats what the system
  that wrote the log preferred.
- Scores are cosines in [-1, 1], with a bonus for what other nominators than the index propose:
  comparable within a query, not calibrated as probabilities.
- Recall is measured on held-out events of one day; a small number of them makes it jump."""


def write_model_card(folder: str, config: Config, metadata: dict) -> None:
    """Writes ``assets.extra/model_card.md`` and ``configuration.json`` below a SavedModel's folder.

    Args:
        folder: The SavedModel's.
        config: What the model was made by.
        metadata: Of the release: ``days_trained``, ``metrics``, ``gates`` and ``changes``, as
            ``daily.run_days`` gives them.
    """
    write_json(
        os.path.join(folder, CONFIGURATION_FILE), config.model_dump(mode="json", by_alias=True)
    )
    with open(os.path.join(folder, CARD_FILE), "w", encoding="utf-8") as file:
        file.write(model_card(config, metadata))


def model_card(config: Config, metadata: dict) -> str:
    """Returns the card as Markdown; see ``write_model_card``."""
    days = metadata["days_trained"]
    metrics = metadata["metrics"]
    lines = [
        f"# {config.name}",
        "",
        "A two-tower retrieval model: query features in, item ids and scores out "
        "(Yi et al. 2019). How to ask it is in `serving.json`; all settings are in "
        "`configuration.json`.",
        "",
        "## Data",
        "",
        f"- Trained on {len(days)} days, {days[0]} to {days[-1]}, oldest first, "
        f"{_how_often(config)}{_gaps(days)}.",
        f"- Examples of the last day: {metrics['examples']:,}; {_held_out(config)}.",
        f"- Histories hold the last {config.examples.history_length} items before an event.",
        "",
        "## Measured",
        "",
        *_measured(metrics),
        "",
        "## Gates",
        "",
        *(f"- {gate['message']}" for gate in metadata["gates"]),
        "",
        "## Features",
        "",
        "| tower | feature | kind | column |",
        "| --- | --- | --- | --- |",
        *_features(config),
        "",
        f"Query tower {_tower(config.query)}, candidate tower {_tower(config.candidate)}, loss "
        f"{config.loss.kind}, batches of {config.training.batch_size or 'a size by the data'}.",
        "",
        *_changes(metadata.get("changes", [])),
        "## Limits",
        "",
        _LIMITS,
        "",
    ]
    return "\n".join(lines)


def _changes(changes: list[dict]) -> list[str]:
    """Returns what was changed while it was trained; releases are older than its record."""
    if not changes:
        return []
    columns = list(changes[0])
    rows = [f"| {' | '.join(one[name] for name in columns)} |" for one in changes]
    head = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    return ["## Changes of the configuration", "", *head, *rows, ""]


def _gaps(days: list[str]) -> str:
    first, last = (datetime.date.fromisoformat(day) for day in (days[0], days[-1]))
    missing = (last - first).days + 1 - len(days)
    return f" ({missing} days between them were not trained on)" if missing else ""


def _measured(metrics: dict) -> list[str]:
    index = metrics["index"]
    lines = []
    if metrics["recall"] is not None:
        lines.append(
            f"- recall@{metrics['recall_at']} of the day's held-out examples: "
            f"{metrics['recall']:.4f}"
        )
    if metrics["loss"] is not None:
        lines.append(f"- mean loss of the day: {metrics['loss']:.4f}")
    lines.append(f"- index: {index['kind']}, {index['items']:,} items of {index['dim']} dimensions")
    if index["index_recall"] is not None:
        lines.append(
            f"- recall@{index['index_recall_at']} of the index against exact search: "
            f"{index['index_recall']:.4f}"
        )
    return lines + _measured_ranking(metrics.get("ranking") or {})


def _measured_ranking(metrics: dict) -> list[str]:
    lines = []
    if metrics.get("user_loss") is not None:
        lines.append(
            "- ranking: weighted per-user loss of the day's held-out impressions: "
            f"{metrics['user_loss']:.4f}"
        )
    if metrics.get("loss") is not None:
        lines.append(f"- ranking: mean loss of the day: {metrics['loss']:.4f}")
    return lines


def _tower(section: TowerSection) -> str:
    """Returns a tower's kind, and what its kind is told."""
    told = section.model_dump(mode="json", exclude={"kind", "features"})
    return ", ".join([section.kind, *(f"{key} {value}" for key, value in told.items())])


def _how_often(config: Config) -> str:
    """Says how often the model saw each example."""
    training = config.training
    times = "once" if training.passes_per_day == 1 else f"{training.passes_per_day} times"
    again = ", with earlier ones mixed in" if training.replay else ""
    if training.retrain is not None:
        most = training.retrain.passes
        again += f"; the window of a fresh model that took over up to {most} times"
    if training.backfill is None:
        return f"each {times}{again}"
    most = training.backfill.passes
    return f"those of the backfill up to {most} times, each later one {times}{again}"


def _held_out(config: Config) -> str:
    column = config.source.events.columns.held_out
    if column is not None:
        return f"those are held out of which the log's column '{column}' says so"
    return f"{config.examples.holdout_share:.0%} of a day's examples are held out"


def _features(config: Config) -> list[str]:
    return [
        f"| {name} | {feature.name} | {feature.kind} | {feature.column} |"
        for name, tower in (("query", config.query), ("candidate", config.candidate))
        for feature in tower.features
    ]
