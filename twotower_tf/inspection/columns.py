"""Which columns there are, and in how many records each has a value."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config import Config
from twotower_tf.config.section import nearest_name
from twotower_tf.datasets.formats import column_names
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.nested import value_at
from twotower_tf.datasets.record_batches import RecordBatch
from twotower_tf.examples.event_table import event_features, shown_features
from twotower_tf.examples.reading.column_values import flags, without_missing
from twotower_tf.examples.records import features_of
from twotower_tf.examples.schema import RawFeature
from twotower_tf.examples.source_columns import named_columns, required_columns
from twotower_tf.examples.value_types.value_type import TextType
from twotower_tf.examples.values import is_missing
from twotower_tf.inspection.sample import Sample

_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_DIVISOR = "examples.reward.divided_by"
# Files whose headers are looked at.
_HEADERS = 8


@dataclasses.dataclass(frozen=True)
class ColumnFacts:
    """What was found of a column that the configuration names.

    Attributes:
        name: The column.
        key: The key that names it.
        required: Whether files must have it.
        found: Whether any has it.
        given: The share of the records that have a value in it, None without records.
        nearest: The name most like it that is there, where it was not found.
    """

    name: str
    key: str
    required: bool
    found: bool
    given: float | None
    nearest: str | None = None


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a part of the source.

    Attributes:
        named: Those that the configuration names, in its order.
        unused: Those that are there beside them.
    """

    named: list[ColumnFacts]
    unused: list[str]


def columns_of(config: Config, what: str, needed: Iterable[str], sample: Sample) -> Columns:
    """Looks at the columns of a sample of records.

    Args:
        config: The deployment.
        what: ``events``, ``items``, ``users``, ``searches`` or ``impressions``.
        needed: Those that ``sample`` was read with.
        sample: The records.
    """
    needed, missing = list(needed), _missing_texts(config, what)
    given: Counter[str] = Counter()
    there = _names_in_headers(sample)
    for batch in (batch for one in sample.read for batch in one.batches):
        for name in needed:
            given[name] += int(has_value(batch, name, missing.get(name, missing[None])).sum())
        there.update(batch.names())
        if batch.says_columns() is not None:
            there.update(name for name in needed if batch.has(name).any())
    keys, required = named_columns(config, what), required_columns(config, what)
    facts = []
    for name in needed:
        # Some formats always have the same columns, and say nothing of them.
        found = name in there or given[name] > 0
        if not found and name not in keys and _divisor_or_feature(config, name) == _DIVISOR:
            # Then it is the item's.
            continue
        facts.append(
            ColumnFacts(
                name,
                keys.get(name, _divisor_or_feature(config, name)),
                name in required,
                found,
                given[name] / sample.records if sample.records else None,
                None if found else nearest_name(name, there),
            )
        )
    return Columns(facts, sorted(name for name in there - set(needed) if "." not in name))


def has_value(batch: RecordBatch, name: str, missing: frozenset[str]) -> np.ndarray:
    """Says which records have a value in a column: bool [n].

    Args:
        batch: The records.
        name: The column.
        missing: The texts that stand for a missing value.
    """
    column, odd = batch.column(name, None)
    column = without_missing(column, missing)
    found = flags(column.is_valid())
    if pa.types.is_string(column.type):
        found &= ~flags(pc.equal(column, ""))
    elif any(of(column.type) for of in _LISTS):
        found &= flags(pc.greater(pc.list_value_length(column), 0))
    for row in np.flatnonzero(odd).tolist():
        record = batch.record(row)
        value = None if isinstance(record, Unreadable) else value_at(record, name)
        found[row] = value != [] and not is_missing(value, missing)
    return found


def _names_in_headers(sample: Sample) -> set[str]:
    """Returns the names of columns that files say they have."""
    found: set[str] = set()
    for one in sample.read[:_HEADERS]:
        names = column_names(one.file)
        if isinstance(names, list):
            found.update(names)
    return found


def _missing_texts(config: Config, what: str) -> Mapping[str | None, frozenset[str]]:
    """Returns what stands for a missing value in each column; by None: in all others."""
    files = getattr(config.source, what)
    texts: dict[str | None, frozenset[str]] = {None: files.missing_in(of_text=False)}
    if what == "searches":
        texts[files.columns.query] = files.missing_in(of_text=True)
    if what == "items" and files.columns.title is not None:
        texts[files.columns.title] = files.missing_in(of_text=True)
    for raw in read_features(config, what):
        if isinstance(raw.type, TextType):
            texts[raw.source_column] = raw.type.missing(files)
    return texts


def read_features(config: Config, what: str) -> list[RawFeature]:
    """Returns the raw features that are read from a part of the source."""
    if what == "events":
        return event_features(config)
    if what == "impressions":
        return shown_features(config)
    return [] if what == "searches" else features_of(config, what.removesuffix("s"))


def _divisor_or_feature(config: Config, name: str) -> str:
    """Returns the key of a column that ``named_columns`` leaves out."""
    reward = config.examples.reward
    is_divisor = reward is not None and reward.divided_by == name
    return _DIVISOR if is_divisor else "query.features"
