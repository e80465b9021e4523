"""The baselines of a deployment, which learn the training examples of days as they go by."""

import datetime
from collections.abc import Sequence

import numpy as np

from twotower_tf.config import Config
from twotower_tf.config.evaluation import baselines_of
from twotower_tf.evaluation.baselines import AfterSeed, MostPopular
from twotower_tf.evaluation.held_out import HeldOut
from twotower_tf.evaluation.item_knn import ItemKnn
from twotower_tf.evaluation.own_items import rank_own_items
from twotower_tf.evaluation.past_items import past_items
from twotower_tf.evaluation.training_actions import training_actions
from twotower_tf.examples.counts import Counts
from twotower_tf.indexing.ranking import Ranking, Removed
from twotower_tf.storage import EXAMPLES, Workdir


class Baselines:
    """The baselines that a configuration asks for.

    Args:
        config: Says which.
        workdir: Has the training examples.
        counts: Of them.
    """

    def __init__(self, config: Config, workdir: Workdir, counts: Counts):
        section = config.evaluation
        self._config = config
        self._workdir = workdir
        self._counts = counts
        self._names = baselines_of(config)
        self._window = datetime.timedelta(days=section.baseline_days)
        self._popular = MostPopular(section.baseline_days)
        self._after_seed = AfterSeed(section.baseline_days)
        self._item_knn = None
        if section.item_knn is not None:
            knn = section.item_knn
            self._item_knn = ItemKnn(section.baseline_days, knn.neighbours, knn.shrinkage)
        # Of all days: how often each item was in training examples.
        self._trained: dict[str, int] | None = {} if section.by_popularity else None
        self._counted_to = datetime.date.min

    def count_to(self, day: datetime.date) -> None:
        """Learns the days up to a day, as far as they have examples and were not learnt yet."""
        for one in self._workdir.days(EXAMPLES):
            if not self._counted_to < one <= day:
                continue
            if one > day - self._window:
                self._add(one)
            if self._trained is not None:
                self._add_trained(one)
        self._counted_to = max(self._counted_to, day)

    def counts(self, item_ids: Sequence[str]) -> np.ndarray:
        """Returns [N] int64: how often each item is in the training examples of the window."""
        return self._popular.counts(item_ids)

    def trained(self, item_ids: Sequence[str]) -> np.ndarray | None:
        """Returns [N] int64: how often each item was in training examples, of all days.

        None if the configuration doesn't ask for it.
        """
        if self._trained is None:
            return None
        found = (self._trained.get(item_id, 0) for item_id in item_ids)
        return np.fromiter(found, np.int64, len(item_ids))

    def rankings(
        self,
        held_out: HeldOut,
        positives: np.ndarray,
        item_ids: list[str],
        k: int,
        removed: Removed | None = None,
    ) -> dict[str, Ranking]:
        """Returns how each baseline ranks the items for held-out examples, by its name.

        Args:
            held_out: The Q examples.
            positives: int64 [Q], the positions of what was acted on, -1: not in the catalogue.
            item_ids: The catalogue's.
            k: How many items of the top to return.
            removed: What is taken out of the rankings, if anything is.
        """
        found = {}
        if "own_items" in self._names:
            found["own_items"] = rank_own_items(held_out.own, positives, item_ids, k, removed)
        for name, baseline in (("most_popular", self._popular), ("after_seed", self._after_seed)):
            found[name] = baseline.rank(held_out.seed_ids, positives, item_ids, k, removed)
        if self._item_knn is not None:
            past = past_items(self._config, held_out)
            found["item_knn"] = self._item_knn.rank(past, positives, item_ids, k, removed)
        return found

    def _add(self, day: datetime.date) -> None:
        items = self._counts.items(day)
        self._popular.add_day(day, items)
        self._after_seed.add_day(day, items, self._counts.pairs(day))
        if self._item_knn is not None:
            self._item_knn.add_day(day, items, training_actions(self._workdir, day))

    def _add_trained(self, day: datetime.date) -> None:
        # A reader of its own: the shared one would keep the items of every day.
        items = Counts(self._workdir).items(day)
        for item_id, examples in zip(
            items["item_id"].to_pylist(), items["examples"].to_pylist(), strict=True
        ):
            self._trained[item_id] = self._trained.get(item_id, 0) + examples
