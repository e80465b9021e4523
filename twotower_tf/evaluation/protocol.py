"""The evaluation of a day: its held-out examples against the full catalogue, model and baselines.

Two protocols. ``after``: the day's held-out share after training on the rest of the day (the
paper's, Yi et al. 2019, section 6.3). ``before``: the same examples before the day was trained
on, which is what the model will do tomorrow.
"""

import dataclasses
import datetime
import functools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.evaluation.baselines import AfterSeed, MostPopular
from twotower_tf.evaluation.frequencies import compare
from twotower_tf.evaluation.metrics import summarise
from twotower_tf.examples.counts import Counts, seed_item_history
from twotower_tf.examples.items.catalogue_reader import nothing_published
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.indexing.candidates.embedding import CatalogueEmbedder
from twotower_tf.indexing.ranking import Ranking, rank_exactly
from twotower_tf.models.inference import TowerInference, finite_rows, report_broken
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.storage import Workdir
from twotower_tf.training.backfill import Validate
from twotower_tf.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The held-out examples of a day that have a reward: queries, and what they should find.

    Attributes:
        batches: Raw query features, a dictionary a batch.
        item_ids: [Q] str, the items that were acted on.
        seed_ids: [Q] str, what the after-seed baseline goes by; ``""``: nothing.
    """

    batches: list[dict]
    item_ids: list[str]
    seed_ids: list[str]

    def __len__(self) -> int:
        return len(self.item_ids)


class Evaluator:
    """Evaluates a model day by day; the baselines add up the counts of days as they go by.

    Args:
        config: The features, and what to measure.
        workdir: Where examples and catalogues are.
        model: Its variables are used as they are at each call.
        counts: Of the training examples of the work directory's days; None: its own reader.
        embedder: Embeds the catalogues by the model; None: one of its own.
    """

    def __init__(
        self,
        config: Config,
        workdir: Workdir,
        model: TwoTowerModel,
        counts: Counts | None = None,
        embedder: CatalogueEmbedder | None = None,
    ):
        self._config = config
        self._workdir = workdir
        self._model = model
        self._reader = ExampleReader(config)
        # Both protocols, and the build of the index, ask for the same day in a row.
        self.held_out = functools.lru_cache(maxsize=1)(self._read_held_out)
        self._counts = counts or Counts(workdir)
        self._embedder = embedder or CatalogueEmbedder(config, workdir, model)
        self.embed_queries = TowerInference(model.query_tower, config, "query")
        self._popular = MostPopular(config.evaluation.baseline_days)
        self._after_seed = AfterSeed(config.evaluation.baseline_days)
        self._counted_to = datetime.date.min
        self._history = seed_item_history(config)

    def evaluate(self, day: datetime.date, counted_to: datetime.date) -> dict:
        """Returns recall and friends of a day's held-out examples, per method.

        Args:
            day: The day.
            counted_to: The last day whose training examples the baselines may know: ``day``
                itself after training on it, the day before it before.
        """
        self._count_to(counted_to)
        item_ids, items = self._embed_catalogue(day)
        held_out = self.held_out(day)
        positives, ranking = self._rank(day, held_out, item_ids, items)
        at = self._config.evaluation.at
        k = min(at[-1], len(item_ids))
        rankings = {"model": ranking}
        for name, baseline in (("most_popular", self._popular), ("after_seed", self._after_seed)):
            rankings[name] = baseline.rank(held_out.seed_ids, positives, item_ids, k)
        counts = self._popular.counts(item_ids)
        return {
            "held_out": len(held_out),
            "catalogue": len(item_ids),
            "methods": {
                name: summarise(ranking, positives, counts, at)
                for name, ranking in rankings.items()
            },
        }

    def mean_recall(self, days: Sequence[datetime.date]) -> float:
        """Returns the recall of the days' held-out examples, the mean over all ``evaluation.at``.

        The catalogue is the last day's; without an example it is 0.
        """
        item_ids, items = self._embed_catalogue(days[-1])
        held_out = [self._read_held_out(day) for day in days]
        ranks = np.concatenate(
            [self._rank(days[-1], one, item_ids, items)[1].ranks for one in held_out]
        )
        found = [(ranks > 0) & (ranks <= k) for k in self._config.evaluation.at]
        return float(np.mean(found)) if len(ranks) else 0.0

    def _rank(
        self, day: datetime.date, held_out: HeldOut, item_ids: list[str], items: np.ndarray
    ) -> tuple[np.ndarray, Ranking]:
        """Returns where in the catalogue of a day what held-out examples should find is, and how
        the model ranks it."""
        positions = {item_id: row for row, item_id in enumerate(item_ids)}
        positives = np.array([positions.get(one, -1) for one in held_out.item_ids], np.int64)
        queries = self._embed(held_out, day)
        k, batch_size = self._config.evaluation.at[-1], self._config.evaluation.batch_size
        return positives, rank_exactly(queries, items, positives, min(k, len(items)), batch_size)

    def frequencies(self, counted: Mapping[str, float]) -> dict:
        """Compares the estimated probability of being in a batch with the counted one.

        Args:
            counted: Of each item of the day, in (0, 1], from ``Trainer.batch_probabilities``.
        """
        ids = sorted(counted)
        estimated = self._model.estimator.probabilities(ids).numpy().tolist() if ids else []
        return compare(dict(zip(ids, estimated, strict=True)), counted)

    def embed_held_out(self, day: datetime.date) -> np.ndarray:
        """Returns the embeddings of a day's held-out queries, float32 [Q, d]; Q may be 0."""
        return self._embed(self.held_out(day), day)

    def _read_held_out(self, day: datetime.date) -> HeldOut:
        """Returns the held-out examples of a day that have a reward."""
        partition = self._workdir.partition(storage.EXAMPLES, day)
        batches, item_ids, seed_ids = [], [], []
        batch_size = self._config.evaluation.batch_size
        for batch in self._reader.read(partition, "eval", batch_size):
            keep = np.flatnonzero(batch["reward"].numpy() > 0)
            batches.append({name: tf.gather(raw, keep) for name, raw in batch["query"].items()})
            item_ids += _texts(batch["item_id"].numpy()[keep])
            seed_ids += _texts(self._seed_items(batch)[keep])
        return HeldOut(batches, item_ids, seed_ids)

    def _embed(self, held_out: HeldOut, day: datetime.date) -> np.ndarray:
        if not held_out:
            return np.zeros((0, self._config.query.dimension), np.float32)
        self._model.set_day(self._workdir, self._config, day)
        return self.embed_queries.embed_batches(held_out.batches)

    def _embed_catalogue(self, day: datetime.date) -> tuple[list[str], np.ndarray]:
        """Returns the ids and the vectors of the catalogue's items, of those that have any."""
        items = self._embedder.embed(day)
        if not len(items.item_ids):
            raise nothing_published(day)
        finite = finite_rows(items.embeddings)
        report_broken(
            items.item_ids[~finite][:1].tolist(),
            int((~finite).sum()),
            len(finite),
            self._config.selection.max_broken_share,
        )
        if finite.all():
            return items.item_ids.tolist(), items.embeddings
        return items.item_ids[finite].tolist(), items.embeddings[finite]

    def _count_to(self, day: datetime.date) -> None:
        first = day - datetime.timedelta(days=self._config.evaluation.baseline_days - 1)
        for one in self._workdir.days(storage.EXAMPLES):
            if max(first, self._counted_to + datetime.timedelta(days=1)) <= one <= day:
                items = self._counts.items(one)
                self._popular.add_day(one, items)
                self._after_seed.add_day(one, items, self._counts.pairs(one))
        self._counted_to = max(self._counted_to, day)

    def _seed_items(self, batch: dict) -> np.ndarray:
        """The item on screen or, where the log does not say, the last one acted on before."""
        seed_items = batch["seed_item_id"].numpy()
        if self._history is None:
            return seed_items
        history = batch["query"][self._history.name]
        last = history[:, -1:].to_tensor(default_value="", shape=[None, 1])[:, 0].numpy()
        return np.where(seed_items == b"", last, seed_items)


def recall_of(trainer: Trainer) -> Validate:
    """Returns what measures a trainer's model on the held-out examples of days: mean recall."""
    return Evaluator(trainer.config, trainer.workdir, trainer.model).mean_recall


def evaluate_day(config: Config, workdir: Workdir, day: datetime.date) -> dict:
    """Evaluates a day with the newest checkpoint up to it; writes and returns the metrics.

    Raises:
        InputError: If there is no checkpoint up to the day, or the day has no examples.
    """
    trainer = Trainer(config, workdir, at_or_before=day)
    if trainer.last_day is None:
        raise InputError(f"there is no checkpoint of {day} or before: train first")
    evaluator = Evaluator(trainer.config, workdir, trainer.model)
    if trainer.last_day == day:
        measured = {
            "after": evaluator.evaluate(day, day),
            "frequencies": evaluator.frequencies(trainer.batch_probabilities(day)),
        }
    else:
        measured = {"before": evaluator.evaluate(day, trainer.last_day)}
    return record(workdir, day, measured)


def record(workdir: Workdir, day: datetime.date, measured: dict) -> dict:
    """Adds what was measured to ``metrics/evaluate`` of the day; returns all of it."""
    path = workdir.metrics_path("evaluate", day)
    known = storage.read_json(path) or {"day": day.isoformat(), "before": None, "after": None}
    storage.write_json(path, known | measured)
    return known | measured


def _texts(values: np.ndarray) -> list[str]:
    return [value.decode() for value in values.tolist()]
