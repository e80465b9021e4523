"""Statistics of a day's training examples: what the model's features are normalised by.

A partition ``statistics/dt=DAY`` holds a sample of the dense features, and how often each id
occurred of the tables whose vocabulary is built. The examples of the smallest hashes are the
sample, so that the sample of many shards or days together is the sample of all their examples: it
needs no random numbers, and no order. Held-out examples are never in it.

A file is an Arrow table of one row, all columns but the first of them lists: ``examples``;
``hashes`` of the sampled examples; ``<tower>/<feature>``, their values; ``ids/<table>`` with
``counts/<table>``, the most frequent first.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config import Config
from twotower_tf.config.features import BuiltVocabulary
from twotower_tf.errors import InputError
from twotower_tf.storage import Workdir, open_input

KIND = "statistics"
FILE = "statistics.arrow"
# A quantile of a sample of this size is off by half a hundredth of the examples, one sigma.
SAMPLE = 10_000
# A day keeps so many times the ids that a vocabulary holds. One that a whole window makes
# frequent is hardly ever beyond that on each of its days.
_KEPT = 4
_COUNTS = pa.schema([("id", pa.string()), ("count", pa.int64())])


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What is known of some training examples.

    Attributes:
        examples: How many there are.
        hashes: Those of the sampled ones, uint64 [m], ascending; m is at most ``SAMPLE``.
        dense: The values of the sampled ones by ``<tower>/<feature>``, float64 [m].
        ids: ``id`` and ``count`` by table, the most frequent first, of equal ones by id.
    """

    examples: int
    hashes: np.ndarray
    dense: dict[str, np.ndarray]
    ids: dict[str, pa.Table]

    def bounded(self, config: Config) -> "Statistics":
        """Returns the statistics with the most frequent ids alone, as a day keeps them."""
        kept = {
            name: self.ids[name].slice(0, _KEPT * size)
            for name, size in built_vocabularies(config).items()
        }
        return dataclasses.replace(self, ids=kept)

    def vocabulary(self, table: str, size: int) -> list[str]:
        """Returns the most frequent ids of a table, at most ``size``."""
        return self.ids[table]["id"].slice(0, size).to_pylist()


def built_vocabularies(config: Config) -> dict[str, int]:
    """Returns the sizes of the vocabularies that the build makes, by table."""
    return {
        name: table.vocabulary.built
        for name, table in config.tables.items()
        if isinstance(table.vocabulary, BuiltVocabulary)
    }


def part_name(shard: int) -> str:
    """Returns the name of the file that a build keeps the statistics of a shard in meanwhile."""
    return f"{shard:05d}.arrow"


def are_needed(config: Config) -> bool:
    """Says whether a model has anything to take from the statistics."""
    features = [*config.query.features, *config.candidate.features]
    return any(one.needs_statistics for one in features) or bool(built_vocabularies(config))


def of_shard(
    dense: Mapping[str, np.ndarray],
    ids: Mapping[str, Sequence[pa.Array]],
    hashes: np.ndarray,
) -> Statistics:
    """Returns the statistics of training examples.

    Args:
        dense: Their values by ``<tower>/<feature>``, float64 [n].
        ids: By table the ids that occur in them, arrays of text of any length; a null or ``""``
            is none.
        hashes: ``hashes.event_hashes`` of the examples, [n].
    """
    places = np.argsort(hashes, kind="stable")[:SAMPLE]
    return Statistics(
        examples=len(hashes),
        hashes=hashes[places],
        dense={name: values[places] for name, values in dense.items()},
        ids={name: _summed([_counted(array) for array in arrays]) for name, arrays in ids.items()},
    )


def _counted(ids: pa.Array) -> pa.Table:
    values, counts = pc.value_counts(ids).flatten()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    table = pa.Table.from_arrays([values.cast(pa.string()), counts], schema=_COUNTS)
    return table.filter(pc.fill_null(pc.not_equal(values, ""), False))


def _summed(parts: Sequence[pa.Table]) -> pa.Table:
    every = pa.concat_tables([_COUNTS.empty_table(), *parts])
    summed = every.group_by("id", use_threads=False).aggregate([("count", "sum")])
    ordered = summed.rename_columns({"count_sum": "count"}).select(_COUNTS.names)
    return ordered.sort_by([("count", "descending"), ("id", "ascending")]).combine_chunks()


def merge(parts: Iterable[Statistics]) -> Statistics:
    """Returns the statistics of the examples of all parts together.

    Raises:
        ValueError: Without a part, or for parts of different features or tables.
    """
    parts = list(parts)
    if not parts:
        raise ValueError("there are no statistics to merge")
    first = parts[0]
    if any(
        (part.dense.keys(), part.ids.keys()) != (first.dense.keys(), first.ids.keys())
        for part in parts
    ):
        raise ValueError("statistics of different features can't be merged")
    hashes = np.concatenate([part.hashes for part in parts])
    places = np.argsort(hashes, kind="stable")[:SAMPLE]
    return Statistics(
        examples=sum(part.examples for part in parts),
        hashes=hashes[places],
        dense={
            name: np.concatenate([part.dense[name] for part in parts])[places]
            for name in first.dense
        },
        ids={name: _summed([part.ids[name] for part in parts]) for name in first.ids},
    )


def write(path: str, statistics: Statistics) -> None:
    """Writes statistics: the same ones make the same bytes."""
    columns: dict[str, pa.Array] = {
        "examples": pa.array([statistics.examples], pa.int64()),
        "hashes": _one_list(pa.array(statistics.hashes, pa.uint64())),
    }
    for name, values in sorted(statistics.dense.items()):
        columns[name] = _one_list(pa.array(values, pa.float64()))
    for name, counts in sorted(statistics.ids.items()):
        columns[f"ids/{name}"] = _one_list(counts["id"])
        columns[f"counts/{name}"] = _one_list(counts["count"])
    table = pa.table(columns)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with open(path, "wb") as file, pa.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table)


def _one_list(values: pa.Array | pa.ChunkedArray) -> pa.ListArray:
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


def read(path: str) -> Statistics:
    """Reads statistics as ``write`` was given them: of a shard, or of a day."""
    with open_input(path) as file:
        table = pa.ipc.open_file(file).read_all()
    lists = {name: table[name].combine_chunks() for name in table.column_names}
    examples = lists.pop("examples")[0].as_py()
    hashes = lists.pop("hashes").flatten().to_numpy()
    tables = [name.removeprefix("ids/") for name in lists if name.startswith("ids/")]
    ids = {
        name: pa.Table.from_arrays(
            [lists.pop(f"{part}/{name}").flatten() for part in ("ids", "counts")], schema=_COUNTS
        )
        for name in tables
    }
    dense = {name: values.flatten().to_numpy() for name, values in lists.items()}
    return Statistics(examples, hashes, dense, ids)


def of_window(
    workdir: Workdir, config: Config, day: datetime.date, at_least: int = 1
) -> Statistics:
    """Returns the statistics of the last ``statistics.days`` built days up to a day, together.

    Args:
        workdir: Where they are.
        config: How many days.
        day: The last one.
        at_least: So many days, if it is more than the configuration says.

    Raises:
        InputError: If the day has none.
    """
    days = [one for one in workdir.days(KIND) if one <= day]
    if day not in days:
        raise InputError(
            f"there are no statistics of {day} in {workdir.root}, which a model starts from: "
            "build the examples of all days anew in a new folder"
        )
    partitions = [
        workdir.partition(KIND, one) for one in days[-max(config.statistics.days, at_least) :]
    ]
    return merge(read(partition.file(FILE)) for partition in partitions)
