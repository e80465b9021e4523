"""The release of a day: the index is built, measured, held against the gates, and published.

Whether it is published or held back, the day's record and report say so.
"""

import dataclasses
import datetime
import os

import numpy as np

from twotower_tf import storage
from twotower_tf.binding import model_fingerprint
from twotower_tf.binding.settings import OF_RELEASE, settings
from twotower_tf.config import Config
from twotower_tf.config.evaluation import baselines_of
from twotower_tf.errors import JobError
from twotower_tf.evaluation.changes import COLUMNS, changed, row_of
from twotower_tf.evaluation.day_metrics import measured_days, read_days
from twotower_tf.evaluation.report import write_report
from twotower_tf.examples.counts import Counts
from twotower_tf.indexing.candidates.embedding import CatalogueEmbedder
from twotower_tf.indexing.nominators.blend import Blend
from twotower_tf.models.ranking.ranking_model import RankingModel
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.releases.build import BuiltIndex, build_index
from twotower_tf.releases.gates import GateResult, Measured, MeasuredRanking, check_gates
from twotower_tf.releases.model_card import write_model_card
from twotower_tf.releases.releases import Release, current, publish
from twotower_tf.storage import Workdir

JOB = "run_daily"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What a release is made of.

    Attributes:
        model: As it is after the day.
        days_trained: What it was trained on, oldest first.
        queries: float32 [Q, d], embedded held-out queries of the day, to measure the index with.
        counts: Of the training examples of the work directory's days.
        embedder: Of the model.
        blend: Of what its nominators propose; None if there is the index alone.
        ranking: What ranks what they propose, as it is after the day; None without.
    """

    model: TwoTowerModel
    days_trained: list[datetime.date]
    queries: np.ndarray
    counts: Counts
    embedder: CatalogueEmbedder
    blend: Blend | None
    ranking: RankingModel | None = None


def release(config: Config, workdir: Workdir, day: datetime.date, candidate: Candidate) -> None:
    """Builds the index of a day that was evaluated; publishes it if every gate lets it through.

    Raises:
        JobError: If a gate held it back; says which and why.
    """
    built = build_index(
        config,
        workdir,
        candidate.model,
        day,
        candidate.queries[: config.index.recall_queries],
        candidate.counts,
        candidate.embedder,
        candidate.blend,
        candidate.ranking,
    )
    storage.write_json(workdir.metrics_path("build_index", day), built.metrics)
    measured = measure(config, workdir, day, built.metrics)
    gates = check_gates(config.gates, measured)
    held = [gate for gate in gates if not gate.passed]
    record = {
        "day": day.isoformat(),
        "status": "held" if held else "released",
        "gates": [dataclasses.asdict(gate) for gate in gates],
        "settings": settings(config, OF_RELEASE),
        "release": None,
    }
    if not held:
        path = _publish(config, workdir, day, candidate.days_trained, built, measured, gates)
        record["release"] = os.path.relpath(path, workdir.root)
    _record(workdir, day, record)
    record["report"] = os.path.relpath(write_report(workdir, day), workdir.root)
    _record(workdir, day, record)
    if held:
        reasons = "; ".join(gate.message for gate in held)
        raise JobError(f"the release of {day} was held back by a gate: {reasons}")


def recall_at(config: Config) -> int:
    """Returns the K whose recall the gates look at."""
    return config.gates.recall_at or config.evaluation.at[-1]


def measure(config: Config, workdir: Workdir, day: datetime.date, index: dict) -> Measured:
    """Returns what the gates look at: what was recorded of the day, and of its index now."""
    trained = storage.read_json(workdir.metrics_path("train", day))
    evaluated = storage.read_json(workdir.metrics_path("evaluate", day))
    last = current(workdir, config.name)
    k = recall_at(config)
    after = evaluated["after"]
    recalls = {name: method["recall"] for name, method in after["methods"].items()}
    recall_of = after.get("repeats", "all")
    comparable = last is not None and _kind_of_recall(last) == (k, recall_of)
    return Measured(
        examples=trained["examples"],
        # Work directories are older than these.
        weight=trained.get("weight"),
        items_per_batch=trained.get("items_per_batch"),
        loss=trained["loss"],
        recall_at=k,
        recall=recalls["model"][str(k)],
        last_recall=last.metadata["metrics"]["recall"] if comparable else None,
        recall_of=recall_of,
        recalls=recalls["model"],
        baseline_recalls={name: recalls[name] for name in baselines_of(config) if name in recalls},
        index_recall=index["index_recall"],
        coverage=index["coverage"],
        ranking=_measured_ranking(config, workdir, day, last),
    )


def _measured_ranking(
    config: Config, workdir: Workdir, day: datetime.date, last: Release | None
) -> MeasuredRanking | None:
    """Returns what the gates look at of the ranking model; None where there is none."""
    if config.ranking is None:
        return None
    trained = storage.read_json(workdir.metrics_path("train_ranking", day))
    evaluated = storage.read_json(workdir.metrics_path("evaluate_ranking", day))
    of_last = {} if last is None else last.metadata["metrics"].get("ranking") or {}
    return MeasuredRanking(
        trained["loss"],
        evaluated["after"]["methods"]["model"]["user_loss"],
        of_last.get("user_loss"),
    )


def _kind_of_recall(release: Release) -> tuple[int, str]:
    """Returns at which K, and of which held-out examples, a release's recall was measured."""
    metrics = release.metadata["metrics"]
    # Releases are older than the choice of examples.
    return metrics["recall_at"], metrics.get("recall_of", "all")


def _publish(
    config: Config,
    workdir: Workdir,
    day: datetime.date,
    days_trained: list[datetime.date],
    built: BuiltIndex,
    measured: Measured,
    gates: list[GateResult],
) -> str:
    """Publishes a release; returns its path."""
    metrics = dataclasses.asdict(measured) | {"index": built.metrics}
    if measured.ranking is None:
        # Releases without a second stage say nothing of it.
        del metrics["ranking"]
    metadata = {
        "configuration": model_fingerprint(config),
        "days_trained": [one.isoformat() for one in days_trained],
        "gates": [dataclasses.asdict(gate) for gate in gates],
        "metrics": metrics,
        "changes": _changes(config, workdir, day),
    }

    def save(folder: str) -> None:
        built.save(folder)
        write_model_card(folder, config, metadata)

    return publish(workdir, config.name, day, save, metadata).path


def _changes(config: Config, workdir: Workdir, day: datetime.date) -> list[dict]:
    """Returns what was changed of the configuration from day to day, up to this release."""
    days = read_days(workdir, measured_days(workdir, day))
    # The day's own record comes after its release.
    days[-1].jobs[JOB] = {"settings": settings(config, OF_RELEASE)}
    return [dict(zip(COLUMNS, row_of(one), strict=True)) for one in changed(days)]


def _record(workdir: Workdir, day: datetime.date, record: dict) -> None:
    storage.write_json(workdir.metrics_path(JOB, day), record)
