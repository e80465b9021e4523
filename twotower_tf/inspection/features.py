"""The features of both towers and the tables they are looked up in: how many different values."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config import Config
from twotower_tf.config.features import BuiltVocabulary, CatalogueVocabulary
from twotower_tf.config.open_sizes import buckets_of
from twotower_tf.errors import InputError
from twotower_tf.examples.schema import BASKET, HISTORY, SEED_ITEM_ID, RawFeature
from twotower_tf.examples.value_types import PROSE
from twotower_tf.storage.id_lists import read_ids

_OF_ITEMS = (HISTORY, SEED_ITEM_ID, BASKET)
# Of so many texts words are counted.
_TEXTS = 100_000
_WORDS = re.compile(r"\w+")


@dataclasses.dataclass(frozen=True)
class FeatureFacts:
    """What was found of a raw feature.

    Attributes:
        name: The feature's.
        tower: ``query`` or ``candidate``.
        kind: The kind of feature it is of.
        column: Where it is read.
        distinct: How many different values there are, of lists different elements; None where the
            build fills them in from other columns.
        buckets: Of a category the rows for values that are not listed, else None.
        unlisted: Of a category how many of the distinct ones these are.
    """

    name: str
    tower: str
    kind: str
    column: str
    distinct: int | None
    buckets: int | None = None
    unlisted: int | None = None


@dataclasses.dataclass(frozen=True)
class TableFacts:
    """A table, and the ids found that are looked up in it.

    Attributes:
        name: The table's.
        listed: Rows of its vocabulary.
        buckets: Rows that all other ids hash into.
        dim: Numbers a row.
        distinct: How many different ids were found, words and n-grams about.
        hashed: How many of them hash into the buckets.
        is_open: Whether the configuration leaves sizes to the data.
        problem: Why its vocabulary can't be read, if it can't.
    """

    name: str
    listed: int
    buckets: int
    dim: int
    distinct: int
    hashed: int
    is_open: bool
    problem: str | None = None

    @property
    def shared(self) -> float:
        """The expected share of the hashed ids that share their row with another one of them."""
        return share_colliding(self.hashed, self.buckets)


def share_colliding(ids: int, buckets: int) -> float:
    """Returns the expected share of ids that share a bucket: 1 - (1 - 1 / buckets)^(ids - 1)."""
    if ids < 2 or not buckets:
        return 0.0
    return 1.0 - (1.0 - 1.0 / buckets) ** (ids - 1)


class Values:
    """The values found of raw features.

    Args:
        item_ids: Those of the catalogue.
        events: Valid events (``event_schema``); more item ids are found there.
        candidate: The catalogue's values, by ``RawFeature.key``.
        users: The profiles' values, likewise; None without profiles.
    """

    def __init__(
        self, item_ids: pa.Array, events: pa.Table, candidate: pa.Table, users: pa.Table | None
    ):
        self._events, self._candidate, self._users = events, candidate, users
        names = [one for one in ("item_id", SEED_ITEM_ID) if one in events.column_names]
        ids = [item_ids, *(_flat(events[name]) for name in names)]
        if HISTORY in events.column_names:
            ids.append(_flat(events[HISTORY]))
        self.catalogue, self.items = item_ids, _distinct(ids)

    def of(self, raw: RawFeature) -> pa.Array | None:
        """Returns the distinct values of a raw feature, None where the build fills them in."""
        if raw.filled_in in _OF_ITEMS:
            return self.items
        if raw.filled_in is not None:
            return None
        table, name = {
            "item": (self._candidate, raw.key),
            "user": (self._users, raw.key),
        }.get(raw.of, (self._events, raw.event_column))
        if table is None or name not in table.column_names:
            return None
        return _distinct([_flat(table[name])])


def features_found(config: Config, values: Values) -> list[FeatureFacts]:
    """Counts the different values of all features."""
    found = []
    for tower, feature, raw in _raw_features(config):
        of_feature = values.of(raw)
        buckets = unlisted = None
        if feature.kind == "category" and of_feature is not None:
            listed = pa.array(feature.values, pa.string())
            buckets = feature.buckets
            unlisted = len(of_feature) - _count_in(of_feature, listed)
        distinct = None if of_feature is None else len(of_feature)
        if raw.filled_in in _OF_ITEMS:
            distinct = None
        found.append(
            FeatureFacts(
                raw.name, tower, feature.kind, raw.source_column, distinct, buckets, unlisted
            )
        )
    return found


def tables_found(config: Config, values: Values) -> list[TableFacts]:
    """Counts the different ids that are looked up in each table."""
    everything: dict[str, list[pa.Array]] = {name: [] for name in config.tables}
    of_catalogue: dict[str, list[pa.Array]] = {name: [] for name in config.tables}
    for tower, feature, raw in _raw_features(config):
        name = getattr(feature, "table", None)
        if name not in everything or raw.type.weighs is not None or not raw.type.holds_text:
            continue
        ids = values.of(raw)
        if ids is None:
            continue
        if getattr(raw.type, "form", None) == PROSE or feature.kind == "text":
            ids = _words(ids, feature.ngrams)
        everything[name].append(ids)
        if tower == "candidate":
            of_catalogue[name].append(ids)
    return [
        _table(config, name, _distinct(ids), of_catalogue[name], values.catalogue)
        for name, ids in everything.items()
    ]


def _table(
    config: Config,
    name: str,
    ids: pa.Array,
    of_catalogue: Sequence[pa.Array],
    catalogue: pa.Array,
) -> TableFacts:
    section = config.tables[name]
    vocabulary, listed, hashed, problem = section.vocabulary, 0, len(ids), None
    if isinstance(vocabulary, CatalogueVocabulary):
        listed = vocabulary.rows or len(catalogue)
        hashed -= min(listed, _count_in(ids, catalogue))
    elif isinstance(vocabulary, BuiltVocabulary):
        listed = vocabulary.built
        hashed = max(0, hashed - listed)
    elif vocabulary is not None:
        try:
            known = pa.array(read_ids(vocabulary, "vocabulary"), pa.string())
            listed = len(known)
            hashed -= _count_in(ids, known)
        except InputError as error:
            problem = str(error)
    buckets = section.buckets
    if buckets is None:
        buckets = buckets_of(len(_distinct(of_catalogue)) if of_catalogue else None)
    return TableFacts(
        name,
        listed,
        buckets,
        section.dim or config.candidate.dimension,
        len(ids),
        hashed,
        section.buckets is None or section.dim is None,
        problem,
    )


def _raw_features(config: Config):
    """Yields the tower, the feature and the raw feature of all of them."""
    for tower in ("query", "candidate"):
        for feature in getattr(config, tower).features:
            for raw in feature.raw_features(feature.owner(tower), config):
                yield tower, feature, raw


def _flat(column: pa.ChunkedArray) -> pa.Array:
    column = column.combine_chunks()
    while pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        column = column.flatten()
    return column


def _distinct(arrays: Sequence[pa.Array]) -> pa.Array:
    """Returns the distinct values of arrays of one type, but null and ``""``."""
    if not arrays:
        return pa.array([], pa.string())
    found = pc.unique(pa.chunked_array(list(arrays))).drop_null()
    return found.filter(pc.not_equal(found, "")) if pa.types.is_string(found.type) else found


def _count_in(ids: pa.Array, known: pa.Array) -> int:
    return int(np.count_nonzero(pc.is_in(ids, known).to_numpy(zero_copy_only=False)))


def _words(texts: pa.Array, ngrams: int) -> pa.Array:
    """Returns about the words and n-grams of texts: the model takes words apart more finely."""
    found: set[str] = set()
    for text in texts.slice(0, _TEXTS).to_pylist():
        words = _WORDS.findall(text.lower())
        for size in range(1, ngrams + 1):
            starts = range(len(words) - size + 1)
            found.update(" ".join(words[start : start + size]) for start in starts)
    return pa.array(sorted(found), pa.string())
