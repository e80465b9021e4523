"""The evaluation of a day: its held-out examples against the full catalogue, model and baselines.

Two protocols. ``after``: the day's held-out share after training on the rest of the day (the
paper's, Yi et al. 2019, section 6.3). ``before``: the same examples before the day was trained
on, which is what the model will do tomorrow.
"""

import datetime
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.evaluation.blending import Blender, Items
from twotower_tf.evaluation.counted_baselines import Baselines
from twotower_tf.evaluation.frequencies import compare
from twotower_tf.evaluation.held_out import HeldOut, HeldOutReader
from twotower_tf.evaluation.measuring import Measuring, Popularity
from twotower_tf.examples.counts import Counts
from twotower_tf.examples.items.catalogue_reader import nothing_published
from twotower_tf.indexing.candidates.embedding import CatalogueEmbedder
from twotower_tf.indexing.nominators.blend import Blend
from twotower_tf.indexing.ranking import Ranking, Removed, rank_exactly
from twotower_tf.models.inference import TowerInference, finite_rows, report_broken
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.storage import Workdir
from twotower_tf.training.backfill import Validate
from twotower_tf.training.trainer import Trainer

JOB = "evaluate"


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
        self._reader = HeldOutReader(config, workdir)
        # Both protocols, and the build of the index, ask for the same day in a row.
        self.held_out = functools.lru_cache(maxsize=1)(self._reader.read)
        self._embedder = embedder or CatalogueEmbedder(config, workdir, model)
        self.embed_queries = TowerInference(model.query_tower, config, "query")
        counts = counts or Counts(workdir)
        self._blender = Blender(config, workdir, model, self.embed_queries, counts)
        self._baselines = Baselines(config, workdir, counts)

    def evaluate(self, day: datetime.date, counted_to: datetime.date) -> dict:
        """Returns recall and friends of a day's held-out examples, per method.

        With nominators beside the index, the model is what its release gives: the blend of all.
        ``index_only`` is the model without them.

        Args:
            day: The day.
            counted_to: The last day whose training examples the baselines may know: ``day``
                itself after training on it, the day before it before.
        """
        self._baselines.count_to(counted_to)
        items = self._items(day)
        item_ids = items.item_ids
        held_out = self.held_out(day)
        positives = items.positives(held_out)
        measuring = Measuring(self._config, held_out, item_ids, positives)
        k, removed = min(self._config.evaluation.at[-1], len(item_ids)), measuring.removed
        rankings = self._by_model(day, held_out, items, positives, counted_to, removed)
        rankings |= self._baselines.rankings(held_out, positives, item_ids, k, removed)
        popularity = Popularity(self._baselines.counts(item_ids), self._baselines.trained(item_ids))
        return {
            **measuring.described(),
            "catalogue": len(item_ids),
            "methods": {
                name: measuring.measure(ranking, popularity) for name, ranking in rankings.items()
            },
        }

    def mean_recall(self, days: Sequence[datetime.date]) -> float:
        """Returns the recall of the days' held-out examples, the mean over all ``evaluation.at``.

        It is that of the index alone, which is what training changes. The catalogue is the last
        day's.

        Raises:
            InputError: If the days have no held-out examples: models can't be told apart by them.
        """
        items = self._items(days[-1])
        ranks = []
        for day in days:
            held_out = self._reader.read(day)
            ranked = self._ranked_by_model(days[-1], held_out, items, items.positives(held_out))
            ranks.append(ranked().ranks)
        ranks = np.concatenate(ranks)
        if not len(ranks):
            raise InputError(
                f"there are no held-out examples from {days[0]} to {days[-1]} to compare models by "
                "(validation_days of training.backfill and training.retrain)"
            )
        found = [(ranks > 0) & (ranks <= k) for k in self._config.evaluation.at]
        return float(np.mean(found))

    def _ranked_by_model(
        self, day: datetime.date, held_out: HeldOut, items: Items, positives: np.ndarray
    ) -> Callable[..., Ranking]:
        """Returns what ranks a day's items by the model, given bonuses, and what is removed."""
        k, batch_size = self._config.evaluation.at[-1], self._config.evaluation.batch_size
        vectors = items.embeddings
        queries = self._embed(held_out, day)
        k = min(k, len(vectors))
        return functools.partial(rank_exactly, queries, vectors, positives, k, batch_size)

    def _by_model(
        self,
        day: datetime.date,
        held_out: HeldOut,
        items: Items,
        positives: np.ndarray,
        trained_to: datetime.date,
        removed: Removed | None,
    ) -> dict[str, Ranking]:
        """Returns the rankings of the model: as its release ranks, and by its index alone."""
        if not self._blender.nominators:
            ranked = self._ranked_by_model(day, held_out, items, positives)
            return {"model": ranked(removed=removed)}
        blend = self._blender.blend(trained_to, items)
        bonuses = self._blender.bonuses(held_out, items, blend, trained_to)
        ranked = self._ranked_by_model(day, held_out, items, positives)
        return {"model": ranked(bonuses, removed), "index_only": ranked(removed=removed)}

    def blend(self, day: datetime.date) -> Blend | None:
        """Returns the blend of the day that the model was last trained on.

        None if there are no nominators beside the index.
        """
        return self._blender.blend(day, self._items(day)) if self._blender.nominators else None

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

    def _embed(self, held_out: HeldOut, day: datetime.date) -> np.ndarray:
        if not held_out:
            return np.zeros((0, self._config.query.dimension), np.float32)
        self._model.set_day(self._workdir, self._config, day)
        return self.embed_queries.embed_batches(held_out.batches)

    def _items(self, day: datetime.date) -> Items:
        """Returns the catalogue's items that have vectors."""
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
            return Items(items.item_ids.tolist(), items.embeddings)
        return Items(items.item_ids[finite].tolist(), items.embeddings[finite])


def recall_of(trainer: Trainer) -> Validate:
    """Returns what measures a trainer's model on the held-out examples of days: mean recall."""
    return Evaluator(trainer.config, trainer.workdir, trainer.model).mean_recall
