"""Reads a work directory's examples and catalogues as a ``Problem``."""

import datetime

import numpy as np

from benchmarks.quality_data.problem import Problem
from twotower_tf.config import Config
from twotower_tf.examples.encoding.tfrecord import read_records
from twotower_tf.examples.items.catalogue_reader import Catalogue, load_catalogue
from twotower_tf.examples.schema import HISTORY, raw_features
from twotower_tf.examples.value_types.lists import Lists
from twotower_tf.storage import Workdir

import tensorflow as tf  # isort: skip

_OF_EXAMPLE = ("user_id", "item_id", "seed_item_id", "timestamp", "reward")
_SPLITS = {"train": "examples", "eval": "held_out"}


def read_problem(config: Config, workdir: Workdir, window: int) -> Problem:
    """Reads all days; the last ``window`` of them are what methods are asked about.

    Raises:
        RuntimeError: If a day does not hold as many examples as its manifest says.
    """
    days = workdir.days("examples")
    records: list[bytes] = []
    day_of: list[int] = []
    held_out: list[bool] = []
    for number, day in enumerate(days):
        for split in _SPLITS:
            found = records_of(workdir, day, split)
            records += found
            day_of += [number] * len(found)
            held_out += [split == "eval"] * len(found)
    columns, histories = _parse(config, records)
    columns |= {"day": np.array(day_of, np.int32), "held_out": np.array(held_out)}
    columns["row"] = np.arange(len(records))
    order = np.argsort(columns["timestamp"], kind="stable")
    columns = {name: values[order] for name, values in columns.items()}
    catalogues = [load_catalogue(workdir, config, day) for day in days[-window:]]
    return _problem(columns, histories, catalogues, days, config.evaluation.baseline_days)


def records_of(workdir: Workdir, day: datetime.date, split: str) -> list[bytes]:
    """Returns a day's examples as they are stored; ``split`` is ``train`` or ``eval``.

    Raises:
        RuntimeError: If there are not as many as the manifest says.
    """
    partition = workdir.partition("examples", day)
    manifest = partition.manifest()
    records = [
        record
        for shard in manifest["shards"]
        if shard["file"].startswith(f"{split}-") and shard["records"]
        for record in read_records(partition.file(shard["file"]))
    ]
    expected = manifest["counts"][_SPLITS[split]]
    if len(records) != expected:
        raise RuntimeError(f"{day} has {expected} {split} examples, but {len(records)} were read")
    return records


def _parse(config: Config, records: list[bytes]) -> tuple[dict[str, np.ndarray], tf.RaggedTensor]:
    """Returns columns by name, those of users as ``user/NAME``, and the examples' histories."""
    raw = raw_features(config, "query")
    history = next(one.name for one in raw if one.column == HISTORY and one.type.is_list)
    of_user = [one for one in raw if one.of == "user" and not one.type.is_list]
    spec: dict = {name: tf.io.FixedLenFeature([], tf.string) for name in _OF_EXAMPLE}
    spec["timestamp"] = tf.io.FixedLenFeature([], tf.int64)
    spec["reward"] = tf.io.FixedLenFeature([], tf.float32)
    spec[f"query/{history}"] = tf.io.RaggedFeature(tf.string)
    for one in of_user:
        dtype = one.type.tensor_type
        spec[f"query/{one.name}"] = tf.io.FixedLenFeature([], dtype, default_value=one.type.default)
    parsed = tf.io.parse_example(tf.constant(records), spec)
    histories = parsed.pop(f"query/{history}")
    last = histories[:, -1:].to_tensor(default_value="", shape=[None, 1])[:, 0]
    parsed["seed"] = tf.where(parsed["seed_item_id"] == "", last, parsed["seed_item_id"])
    return {name.replace("query/", "user/"): one.numpy() for name, one in parsed.items()}, histories


def _problem(
    columns: dict[str, np.ndarray],
    histories: tf.RaggedTensor,
    catalogues: list[Catalogue],
    days: list[datetime.date],
    baseline_days: int,
) -> Problem:
    user_ids, users = np.unique(columns["user_id"].astype("S"), return_inverse=True)
    item_ids = np.unique(
        np.concatenate(
            [columns["item_id"].astype("S")]
            + [np.char.encode(one.item_ids.astype(str), "utf-8") for one in catalogues]
        )
    )
    position = {item: row for row, item in enumerate(item_ids.tolist())}
    first = len(days) - len(catalogues)
    asked = columns["held_out"] & (columns["day"] >= first) & (columns["reward"] > 0)
    lists = tf.gather(histories, columns["row"][asked]).to_list()
    seen = [[position.get(item, -1) for item in items] for items in lists]
    available = np.zeros((len(catalogues), len(item_ids)), bool)
    for number, catalogue in enumerate(catalogues):
        available[number, [position[item.encode()] for item in catalogue.item_ids]] = True
    return Problem(
        item_ids=np.char.decode(item_ids, "utf-8"),
        user_ids=np.char.decode(user_ids, "utf-8"),
        days=np.array([day.isoformat() for day in days]),
        user=users.astype(np.int32),
        item=_positions(columns["item_id"].tolist(), position),
        on_screen=_positions(columns["seed_item_id"].tolist(), position),
        seed=_positions(columns["seed"].tolist(), position),
        time=columns["timestamp"],
        reward=columns["reward"],
        day=columns["day"],
        held_out=columns["held_out"],
        available=available,
        history=np.array([item for one in seen for item in one], np.int32),
        history_splits=np.cumsum([0, *map(len, seen)], dtype=np.int64),
        item_features=_item_features(catalogues[-1], position),
        user_features=_user_features(columns, users, len(user_ids)),
        baseline_days=baseline_days,
    )


def _positions(items: list[bytes], position: dict[bytes, int]) -> np.ndarray:
    return np.array([position.get(item, -1) for item in items], np.int32)


def _item_features(catalogue: Catalogue, position: dict[bytes, int]) -> dict[str, np.ndarray]:
    """Returns the features with one value an item; of lists the first value."""
    rows = [position[item.encode()] for item in catalogue.item_ids]
    features = {}
    for name, values in catalogue.features.items():
        if isinstance(values, Lists):
            starts, filled = values.row_splits[:-1], np.diff(values.row_splits) > 0
            firsts = np.full(len(values), "", object)
            firsts[filled] = values.values[starts[filled]]
            values = firsts
        column = np.full(len(position), "", object)
        column[rows] = values.astype(str)
        features[name] = column.astype(str)
    return features


def _user_features(
    columns: dict[str, np.ndarray], users: np.ndarray, count: int
) -> dict[str, np.ndarray]:
    """Returns each user's features as of the last example."""
    features = {}
    for key, values in columns.items():
        if key.startswith("user/"):
            column = np.full(count, "", object)
            texts = [one.decode() if isinstance(one, bytes) else str(one) for one in values]
            column[users] = texts
            features[key.removeprefix("user/")] = column.astype(str)
    return features
