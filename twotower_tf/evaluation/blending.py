"""The blend of a model's day: its weights, and what it adds to the scores of held-out queries.

It is fitted to held-out examples of the days before the day, the latest first, with the scores
that the model of the day gives them. They were never trained on, so that these are scores as the
model gives tomorrow's queries. The day's own held-out examples are not among them: both protocols
evaluate with weights that know nothing of what they are evaluated on, and the release of the day
has these weights too.

``metrics/blend/dt=DAY.json`` has them, and what they were made of: they are fitted once.
"""

import datetime
import functools
import hashlib
import json
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.config_loader import model_fingerprint
from twotower_tf.evaluation.held_out import HeldOut, HeldOutReader
from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.counts import Counts
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.indexing.nominators.blend import Blend, Choices, fit_blend
from twotower_tf.indexing.nominators.item_finder import ItemFinder
from twotower_tf.indexing.nominators.known import Known
from twotower_tf.indexing.nominators.nominator import (
    beside_the_index,
    features_of,
    nominated_by,
)
from twotower_tf.indexing.ranking import Bonuses, rank_exactly
from twotower_tf.models.inference import TowerInference
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.storage import Workdir

JOB = "blend"
# How many of the index's best are among an example's candidates.
_FROM_INDEX = 200


class Items:
    """The items that are ranked.

    Args:
        item_ids: [N] str.
        embeddings: float32 [N, d].
    """

    def __init__(self, item_ids: list[str], embeddings: np.ndarray):
        self.item_ids = item_ids
        self.embeddings = embeddings
        self.positions = {item_id: row for row, item_id in enumerate(item_ids)}

    @functools.cached_property
    def _finder(self) -> ItemFinder:
        return ItemFinder(np.array(self.item_ids, object))

    def find(self, item_ids: tf.Tensor) -> tf.Tensor:
        """Returns where items are: a ``nominator.Find``."""
        return self._finder(fingerprint(item_ids))

    def positives(self, held_out: HeldOut) -> np.ndarray:
        """Returns the positions of what was acted on, int64 [Q]; -1: not among them."""
        found = (self.positions.get(item_id, -1) for item_id in held_out.item_ids)
        return np.fromiter(found, np.int64, len(held_out))


class Blender:
    """Fits blends, and says what they add.

    Args:
        config: The nominators, and what a blend is fitted to.
        workdir: Has the examples; gets the weights.
        model: As it is after the last day it was trained on.
        embed_queries: Its query tower.
        counts: Of the training examples, for what nominators learn of days.
    """

    def __init__(
        self,
        config: Config,
        workdir: Workdir,
        model: TwoTowerModel,
        embed_queries: TowerInference,
        counts: Counts,
    ):
        self._config = config
        self._workdir = workdir
        self._model = model
        self._embed_queries = embed_queries
        self._counts = counts
        self._reader = HeldOutReader(config, workdir)
        self.nominators = beside_the_index(config)

    def blend(self, day: datetime.date, items: Items) -> Blend:
        """Returns the blend of the day that the model was last trained on.

        Args:
            day: That day.
            items: What is ranked, with the model's vectors.

        Raises:
            FloatingPointError: If a vector is not finite.
        """
        path = self._workdir.metrics_path(JOB, day)
        made_of = self._made_of()
        known = storage.read_json(path) or {}
        if known.get("made_of") == made_of:
            return Blend(known["slope"], known["weights"], known["examples"])
        blend, days = self._fit(day, items)
        storage.write_json(
            path,
            {
                "day": day.isoformat(),
                "slope": blend.slope,
                "weights": blend.weights,
                "examples": blend.examples,
                "fitted_to": [one.isoformat() for one in days],
                "made_of": made_of,
            },
        )
        return blend

    def bonuses(
        self, held_out: HeldOut, items: Items, blend: Blend, known_to: datetime.date
    ) -> Bonuses:
        """Returns what a blend adds to the scores of held-out queries.

        Args:
            held_out: The queries.
            items: What is ranked.
            blend: The weights.
            known_to: The last day that nominators may know.
        """
        self._learn(known_to, items)
        amounts = blend.bonuses(features_of(self.nominators))
        queries, positions, added = [np.zeros(0, np.int64)], [], []
        first = 0
        for batch in _requests(held_out):
            place, features = self._nominated(batch, items)
            rows, columns = np.nonzero(place >= 0)
            queries.append(first + rows)
            positions.append(place[rows, columns])
            added.append(features[rows, columns] @ amounts)
            first += len(place)
        if not positions:
            return Bonuses(queries[0], queries[0], np.zeros(0, np.float32))
        keys = np.concatenate(queries) * len(items.item_ids) + np.concatenate(positions)
        keys, item = np.unique(keys, return_inverse=True)
        total = np.bincount(item, np.concatenate(added), len(keys)).astype(np.float32)
        return Bonuses(*np.divmod(keys, len(items.item_ids)), total)

    def _made_of(self) -> dict:
        """Returns what tells weights that were fitted before from those that are wanted."""
        sections = self._config.model_dump(mode="json", include={"nominators", "blend"})
        told = json.dumps([sections, model_fingerprint(self._config)], sort_keys=True)
        return {
            "configuration": hashlib.sha256(told.encode()).hexdigest(),
            "step": int(self._model.optimizer.iterations),
        }

    def _learn(self, day: datetime.date, items: Items) -> None:
        calendar = Calendar.of(self._config)
        known = Known(self._workdir, self._counts, day, items.item_ids, calendar)
        for nominator in self.nominators:
            nominator.learn(known)

    def _nominated(self, batch: dict, items: Items) -> tuple[np.ndarray, np.ndarray]:
        nominated = nominated_by(self.nominators, batch, items.find)
        return nominated.positions.numpy().astype(np.int64), nominated.features.numpy()

    def _fit(self, day: datetime.date, items: Items) -> tuple[Blend, list[datetime.date]]:
        """Returns the blend of a day, and the days it was fitted to, the latest first."""
        self._model.set_day(self._workdir, self._config, day)
        section = self._config.blend
        first = day - datetime.timedelta(days=section.days)
        days, parts, left = [], [], section.examples
        for one in reversed(self._workdir.days("examples")):
            if first <= one < day and left > 0:
                held_out = self._reader.read(one, left)
                # What a release of the day before knows.
                self._learn(one - datetime.timedelta(days=1), items)
                days.append(one)
                parts += self._choices(held_out, items)
                left -= len(held_out)
        return fit_blend(parts, self.nominators), days

    def _choices(self, held_out: HeldOut, items: Items) -> Iterator[Choices]:
        """Yields what users chose of the candidates, of each batch of examples."""
        positives, first = items.positives(held_out), 0
        requests = _requests(held_out)
        for batch, request in zip(held_out.batches, requests, strict=True):
            queries = self._embed_queries(batch)
            taken = positives[first : first + len(queries)]
            first += len(queries)
            if len(queries):
                yield self._of_batch(queries, taken, *self._nominated(request, items), items)

    def _of_batch(
        self,
        queries: np.ndarray,
        taken: np.ndarray,
        nominated: np.ndarray,
        features: np.ndarray,
        items: Items,
    ) -> Choices:
        """Returns the choices of B queries, [B, ...], as ``Choices`` has them."""
        best = rank_exactly(queries, items.embeddings, taken, _FROM_INDEX, len(queries)).top
        nominated, features = _each_once(nominated, features)
        again = _are_among(nominated, best)
        places = np.concatenate([nominated, np.where(again, -1, best)], axis=1)
        there = places >= 0
        vectors = items.embeddings[np.maximum(places, 0)]
        cosines = np.einsum("bnd,bd->bn", vectors, queries)
        beside = np.zeros((*best.shape, features.shape[2]), features.dtype)
        columns = np.concatenate([features, beside], axis=1)
        columns = np.concatenate([cosines[:, :, None], columns], axis=2)
        # Who took none of the candidates tells nothing of their order.
        chosen = (places == taken[:, None]) & there
        told = chosen.any(axis=1)
        there, chosen = there[told], chosen[told]
        sizes = there.sum(axis=1)
        return Choices(
            columns[told][there].astype(np.float64),
            np.cumsum(sizes) - sizes,
            np.flatnonzero(chosen[there]),
        )


def _requests(held_out: HeldOut) -> Iterator[dict]:
    """Yields what nominators are asked with, of each batch."""
    for query, own in zip(held_out.batches, held_out.own, strict=True):
        yield {**query, **own}


def _each_once(places: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Adds up the features of what comes several times in a row.

    Args:
        places: int64 [B, L]; -1: nothing.
        features: float32 [B, L, F].

    Returns:
        The same, -1 in all places of an item in a row but its first, which has the sum.
    """
    rows, columns = np.nonzero(places >= 0)
    keys = rows * (1 + places.max(initial=0)) + places[rows, columns]
    _, first, item = np.unique(keys, return_index=True, return_inverse=True)
    if len(first) == len(rows):
        return places, features
    total = np.zeros((len(first), features.shape[2]), features.dtype)
    np.add.at(total, item, features[rows, columns])
    kept, added = np.full_like(places, -1), np.zeros_like(features)
    rows, columns = rows[first], columns[first]
    kept[rows, columns] = places[rows, columns]
    added[rows, columns] = total
    return kept, added


def _are_among(places: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Says of places, [B, K], whether they are among those of their row, [B, L]: bool [B, K]."""
    width = 1 + max(places.max(initial=0), wanted.max(initial=0))
    rows = np.arange(len(places))[:, None] * width
    return np.isin(rows + wanted, (rows + places)[places >= 0])
