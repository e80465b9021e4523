"""How often items, and pairs of a seed item and an item, are in the training examples of a day.

The build counts while it has the examples in hand, so that nobody reads them for it again. A
partition ``counts/dt=DAY`` has two files: ``items.parquet``, ``item_id`` and ``examples``, a row an
item; and ``pairs.parquet``, ``seed_item_id``, ``item_id`` and ``examples``, a row a pair, without
the examples that have no seed item. Both are sorted by their ids.
"""

import datetime
import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.examples.encoding.list_columns import ListColumn, Ranges
from twotower_tf.examples.schema import HISTORY, RawFeature, raw_features
from twotower_tf.storage import EXAMPLES, Workdir, arrow_input, day_range
from twotower_tf.storage.whole_files import whole_file

KIND = "counts"
ITEMS_FILE, PAIRS_FILE = "items.parquet", "pairs.parquet"
# What stands for no seed item.
NO_SEED_ITEM = ""
_ID = pa.dictionary(pa.int32(), pa.string())
_ITEMS = pa.schema({"item_id": _ID, "examples": pa.int64()})
_PAIRS = pa.schema({"seed_item_id": _ID, "item_id": _ID, "examples": pa.int64()})


def seed_item_history(config: Config) -> RawFeature | None:
    """Returns the history whose last item is the seed item of examples that name none, if any."""
    for raw in raw_features(config, "query"):
        if raw.filled_in == HISTORY and raw.type.is_list:
            return raw
    return None


def seed_items_of(
    config: Config, seed_item_ids: pa.Array, histories: ListColumn | None
) -> pa.Array:
    """Returns the seed items of examples: the item on screen or else the last one acted on before.

    Args:
        config: Says whether the model knows a history.
        seed_item_ids: The item on screen, [n], ``NO_SEED_ITEM`` where the log doesn't say.
        histories: The items before each example, oldest first, [n]; None: nobody has any.
    """
    if histories is None or seed_item_history(config) is None:
        return seed_item_ids
    last = Ranges.of(histories).last_values(NO_SEED_ITEM)
    return pc.if_else(pc.equal(seed_item_ids, NO_SEED_ITEM), last, seed_item_ids)


def part_name(shard: int) -> str:
    """Returns the name of the file that a build keeps the counts of a shard in meanwhile."""
    return f"{shard:05d}.parquet"


def of_examples(seed_ids: pa.Array, item_ids: pa.Array) -> pa.Table:
    """Returns how often each pair is in examples, as ``pairs.parquet`` but with ``NO_SEED_ITEM``.

    Args:
        seed_ids: Text, [n], ``NO_SEED_ITEM`` where there is none.
        item_ids: Text, [n].
    """
    columns = pa.chunked_array([seed_ids]), pa.chunked_array([item_ids])
    return _added_up(*columns, np.ones(len(item_ids), np.int64))


def merge(parts: list[pa.Table]) -> pa.Table:
    """Returns the counts of all parts together, each from ``of_examples``."""
    every = pa.concat_tables([_PAIRS.empty_table(), *parts])
    return _added_up(every["seed_item_id"], every["item_id"], every["examples"].to_numpy())


def of_items(pairs: pa.Table) -> pa.Table:
    """Returns the examples of each item, as ``items.parquet`` has them.

    Args:
        pairs: Its examples by seed item, those without one included.
    """
    ids, at = _codes(pairs["item_id"])
    examples = np.zeros(len(ids), np.int64)
    np.add.at(examples, at, pairs["examples"].to_numpy())
    return pa.table([_encoded(np.arange(len(ids)), ids), examples], schema=_ITEMS)


def with_seed_item(pairs: pa.Table) -> pa.Table:
    """Returns the pairs that have a seed item, as ``pairs.parquet`` has them."""
    return pairs.filter(pc.not_equal(pairs["seed_item_id"].cast(pa.string()), NO_SEED_ITEM))


def write(path: str, counts: pa.Table) -> None:
    """Writes counts: the same ones make the same bytes."""
    with whole_file(path) as temporary:
        pq.write_table(counts, temporary, compression="zstd")


def write_day(folder: str, pairs: pa.Table) -> dict[str, int]:
    """Writes both files of a day into a folder; returns how many rows each has.

    Args:
        folder: Where.
        pairs: The examples of the day by seed item and item, those without a seed item included.
    """
    tables = {ITEMS_FILE: of_items(pairs), PAIRS_FILE: with_seed_item(pairs)}
    for name, table in tables.items():
        write(os.path.join(folder, name), table)
    return {name: len(table) for name, table in tables.items()}


def read(path: str) -> pa.Table:
    """Reads counts as ``write`` was given them, a row an item or a pair."""
    return pq.read_table(arrow_input(path))


class Counts:
    """The counts of days, each file read once.

    Args:
        workdir: Has them.
    """

    def __init__(self, workdir: Workdir):
        self._workdir = workdir
        self._items: dict[datetime.date, pa.Table] = {}
        self._pairs: dict[datetime.date, pa.Table] = {}

    def items(self, day: datetime.date) -> pa.Table:
        """Returns ``item_id`` (a dictionary of text) and ``examples`` of a day.

        Raises:
            InputError: If the day has examples and no counts.
        """
        if day not in self._items:
            self._items[day] = self._read(day, ITEMS_FILE, _ITEMS)
        return self._items[day]

    def pairs(self, day: datetime.date) -> pa.Table:
        """Returns ``seed_item_id``, ``item_id`` (dictionaries of text) and ``examples`` of a day.

        Raises:
            InputError: If the day has examples and no counts.
        """
        if day in self._pairs:
            return self._pairs[day]
        return self._read(day, PAIRS_FILE, _PAIRS)

    def items_until(self, day: datetime.date, days: int) -> pa.Table:
        """Returns the counts of items in a window of days.

        Args:
            day: The last day of the window.
            days: Its length; days of it without examples count nothing.

        Returns:
            ``item_id`` (text) and ``examples``, a row for each item that has any, by id.
        """
        window = day_range(day - datetime.timedelta(days=days - 1), day)
        together = pa.concat_tables(map(self.items, window))
        together = together.set_column(0, "item_id", together["item_id"].cast(pa.string()))
        summed = together.group_by("item_id").aggregate([("examples", "sum")])
        return summed.rename_columns({"examples_sum": "examples"}).sort_by("item_id")

    def pairs_until(self, day: datetime.date, days: int) -> pa.Table:
        """Returns the pairs of a window of days, one day's after the other's, and keeps them.

        Args:
            day: The last day of the window.
            days: Its length; days of it without examples have no pairs.

        Returns:
            As ``pairs``; a pair comes once for each day that has it.
        """
        window = list(day_range(day - datetime.timedelta(days=days - 1), day))
        self._pairs |= {one: self.pairs(one) for one in window}
        return pa.concat_tables(self._pairs[one] for one in window)

    def forget(self, before: datetime.date) -> None:
        """Lets go of the days before a day, which nobody asks for any more."""
        for kept in (self._items, self._pairs):
            for day in [day for day in kept if day < before]:
                del kept[day]

    def _read(self, day: datetime.date, file: str, schema: pa.Schema) -> pa.Table:
        if not self._workdir.partition(EXAMPLES, day).exists():
            return schema.empty_table()
        partition = self._workdir.partition(KIND, day)
        if not partition.exists():
            raise InputError(
                f"the examples of {day} in {self._workdir.root} were never counted: there is no "
                f"{partition.path}; build them anew, in a new folder"
            )
        return read(partition.file(file))


def _added_up(
    seed_items: pa.ChunkedArray, items: pa.ChunkedArray, examples: np.ndarray
) -> pa.Table:
    seed_ids, seed_at = _codes(seed_items)
    item_ids, item_at = _codes(items)
    width = max(1, len(item_ids))
    distinct, places = np.unique(seed_at * width + item_at, return_inverse=True)
    total = np.zeros(len(distinct), np.int64)
    np.add.at(total, places, examples)
    seed_item, item = np.divmod(distinct, width)
    columns = [_encoded(seed_item, seed_ids), _encoded(item, item_ids), total]
    return pa.table(columns, schema=_PAIRS)


def _codes(ids: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """Returns the distinct ids that occur, ascending, and each id's place among them, int64 [n]."""
    encoded = ids.cast(pa.string()).combine_chunks().dictionary_encode()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return encoded.dictionary.take(pa.array(order)), places[encoded.indices.to_numpy()]


def _encoded(codes: np.ndarray, ids: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), ids)
