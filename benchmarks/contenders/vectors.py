"""Vectors that look learned because they are: of a two-tower model trained on simulated events.

Items that are watched by the same people lie close together, popular ones apart from the crowd,
and queries lie where watched items do, but not among them: all of this decides how an index fares,
and noise drawn around random centres has none of it.
"""

import pathlib
import sys
from collections.abc import Callable

import numpy as np

from twotower_tf.config import Config
from twotower_tf.progress import progress
from twotower_tf.simulator.simulator import Simulator, SimulatorSettings
from twotower_tf.simulator.world import World

# isort: split
import tensorflow as tf

from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.training.day_trainer import make_deterministic

DIM = 128
_HISTORY = 20
_BATCH = 2048
_ROWS_AT_A_TIME = 16_384


def make(folder: pathlib.Path, items: int, queries: int, steps: int) -> None:
    """Trains a model of a platform with so many videos, unless an earlier run has.

    The model has the features of configs/demo.yaml that need no statistics, id embeddings of 64
    and towers of [256, 128]. It is trained on the first simulated day; the queries are distinct
    users' last events of the second day.

    Args:
        folder: Gets ``items.npy``, float32 [N, 128], and then ``queries.npy``, [Q, 128].
        items: N.
        queries: Q.
        steps: Training steps of 2,048 examples each.
    """
    if (folder / "queries.npy").exists():
        return
    make_deterministic(17)
    platform = _Platform(items, steps * _BATCH)
    model = TwoTowerModel.from_config(_config(items))
    _train(model, platform, steps)
    item_vectors = _embedded(model.candidate_tower, platform.raw_items, items)
    query_vectors = _embedded(model.query_tower, platform.held_out(queries), queries)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "items.npy", item_vectors)
    np.save(folder / "queries.npy", query_vectors)


def _config(items: int) -> Config:
    id_table = {"kind": "id", "table": "items"}
    values = {
        "name": "index_benchmark",
        "source": {
            "events": {"path": "e.csv", "columns": {"seed_item_id": "seed_item_id"}},
            "items": {"path": "i.csv", "columns": {"title": "title"}},
        },
        "examples": {"history_length": _HISTORY},
        "tables": {
            "items": {"buckets": items, "dim": 64},
            "channels": {"buckets": max(1000, items // 20), "dim": 64},
            "words": {"buckets": 50_000, "dim": 64},
        },
        "query": {
            "features": [
                {"name": "seed_item_id", **id_table},
                {"name": "history", "kind": "id_bag", "table": "items"},
            ],
            "layers": [256, DIM],
        },
        "candidate": {
            "features": [
                {"name": "item_id", **id_table},
                {"name": "channel_id", "kind": "id", "table": "channels"},
                {"name": "title", "kind": "text", "table": "words", "ngrams": 2},
            ],
            "layers": [256, DIM],
        },
        "loss": {"kind": "corrected_softmax", "temperature": 0.07},
        "optimizer": {"kind": "adagrad", "learning_rate": 0.1, "layer_rate": 1.0},
        "training": {"batch_size": _BATCH},
    }
    return Config.model_validate(values)


class _Platform:
    """A simulated platform of two days: the first to train on, the second to ask about.

    Args:
        items: Number of videos.
        events: Number of events a day.
    """

    def __init__(self, items: int, events: int):
        uploads = items // 1000
        self._settings = SimulatorSettings(
            users=max(1000, items // 10),
            videos=items - 2 * uploads,
            uploads_per_day=uploads,
            channels=max(50, items // 50),
            topics=int(np.clip(items // 2000, 20, 500)),
            events_per_day=events,
            days=2,
        )
        world = World(self._settings)
        self._channel, self._title = world.videos.channel, world.videos.title
        self._words = tf.constant(world.words)

    def raw_items(self, rows: np.ndarray) -> dict[str, tf.Tensor]:
        """The candidate tower's raw features of some videos."""
        return {
            "item_id": tf.as_string(rows),
            "channel_id": tf.as_string(self._channel[rows]),
            "title": tf.strings.reduce_join(
                tf.gather(self._words, self._title[rows]), axis=1, separator=" "
            ),
        }

    def training_day(self) -> "_Events":
        """All events of the first day."""
        return self._day(0)

    def held_out(self, count: int) -> Callable[[np.ndarray], dict]:
        """The query tower's raw features of the last events of some users on the second day."""
        events = self._day(1)
        last = np.flatnonzero(np.append(np.diff(events.user) != 0, True))
        chosen = np.random.default_rng(0).permutation(last)[:count]
        if len(chosen) < count:
            raise ValueError(f"{count} queries wanted, {len(chosen)} users have events")
        return lambda rows: events.raw_queries(chosen[rows])

    def _day(self, number: int) -> "_Events":
        simulator = Simulator(self._settings)
        return _Events(np.concatenate(list(simulator.events(simulator.dates[number]))))


class _Events:
    """A day's events by user and time, with the histories of that day.

    Args:
        events: [n] of the simulator's dtype ``EVENT``.
    """

    def __init__(self, events: np.ndarray):
        events = events[np.lexsort((events["timestamp"], events["user"]))]
        self.user, self.item = events["user"], events["item"]
        self._seed = events["seed"]
        starts = np.flatnonzero(np.append(True, np.diff(self.user) != 0))
        start_of = np.repeat(starts, np.diff(np.append(starts, len(events))))
        self._lengths = np.minimum(np.arange(len(events)) - start_of, _HISTORY)

    def raw_queries(self, rows: np.ndarray) -> dict[str, tf.Tensor | tf.RaggedTensor]:
        """The query tower's raw features of some events."""
        lengths = self._lengths[rows]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        places = np.repeat(rows - lengths, lengths) + within
        seeds = tf.as_string(self._seed[rows])
        return {
            "seed_item_id": tf.where(self._seed[rows] < 0, "", seeds),
            "history": tf.RaggedTensor.from_row_lengths(tf.as_string(self.item[places]), lengths),
        }


def _train(model: TwoTowerModel, platform: _Platform, steps: int) -> None:
    events = platform.training_day()
    step = tf.function(model.train_step, reduce_retracing=True)
    order = np.random.default_rng(0).permutation(len(events.item))
    with progress("training the model", steps, "steps") as shown:
        for rows in order.reshape(steps, _BATCH):
            items = events.item[rows]
            candidate = platform.raw_items(items)
            step(
                {
                    "query": events.raw_queries(rows),
                    "candidate": candidate,
                    "item_id": candidate["item_id"],
                    "reward": tf.ones([_BATCH]),
                }
            )
            shown.advance(1)


def _embedded(
    tower: tf.keras.layers.Layer, raw: Callable[[np.ndarray], dict], count: int
) -> np.ndarray:
    embed = tf.function(tower, reduce_retracing=True)
    starts = range(0, count, _ROWS_AT_A_TIME)
    rows = (np.arange(start, min(start + _ROWS_AT_A_TIME, count)) for start in starts)
    return np.concatenate([embed(raw(some)).numpy() for some in rows])


if __name__ == "__main__":
    make(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))
