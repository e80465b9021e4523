"""Candidate selection: which items of the catalogue are embedded and indexed, by rules.

The first stage of the index pipeline (Yi et al. 2019, section 5). The rules apply one after the
other, and each is charged with the items that it is the first to take out.
"""

import dataclasses
import datetime
import functools
from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from absl import logging

from twotower_tf.config import Config
from twotower_tf.errors import JobError
from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.counts import Counts
from twotower_tf.examples.items.catalogue_reader import (
    last_of_each_id,
    published_before,
    read_columns,
)
from twotower_tf.examples.schema import raw_features
from twotower_tf.examples.values import SECONDS_PER_DAY
from twotower_tf.storage import Partition
from twotower_tf.storage.id_lists import read_ids, unknown_ids

_SECONDS_PER_HOUR = 3600
# Older than any real time, and far enough from the ends of int64 to be negated.
_UNKNOWN = np.int64(-(2**62))


@dataclasses.dataclass(frozen=True)
class Selected:
    """The items that were chosen.

    Attributes:
        catalogue: What they were chosen from.
        rows: [S] int64, their positions in the catalogue's rows, ascending.
        report: ``rows`` of the catalogue; ``left_out``, by rule in their order, how many items
            each took out; ``always``, how many ``always_hours`` saved from the rules after it;
            ``selected``.
    """

    catalogue: Partition
    rows: np.ndarray
    report: dict


def select_candidates(
    config: Config,
    counts: Counts,
    day: datetime.date,
    catalogue: Partition,
    withdrawn: Collection[str] = (),
) -> Selected:
    """Chooses from a catalogue the items that may be recommended after a day.

    Always left out are rows that a later one with the same id replaces, items published after the
    day, and those that are ``withdrawn``. Then come the rules of the configuration, in this order:
    ``deny``, ``allow``, the ages, ``required``, ``min_examples``, ``max_per_channel``. Only the
    last two spare the uploads of the last ``always_hours``, which take their channel's places
    first.

    Ages are those at the end of the day. Of a channel the most engaged items stay, or the newest,
    as configured, equal ones by the other of the two, then by their order in the catalogue. An
    item without a channel is in none.

    Raises:
        InputError: If a list of ids can't be read.
        JobError: If no item is left; says what took them out.
    """
    choice = _Choice(config, counts, day, catalogue)
    choice.apply(withdrawn)
    report = choice.report()
    logging.info("%s", _worded(day, report))
    if not report["selected"]:
        raise JobError(f"{_worded(day, report)}: there is nothing to recommend")
    return Selected(catalogue, np.flatnonzero(choice.kept), report)


def coverage(counts: pa.Table, item_ids: Sequence[str]) -> float | None:
    """Returns the share of training examples whose item is among some items.

    Args:
        counts: ``item_id`` and ``examples``, as ``Counts.items_until`` returns them.
        item_ids: The items of an index.

    Returns:
        The share; None without examples.
    """
    examples = counts["examples"].to_numpy()
    if not examples.sum():
        return None
    covered = pc.is_in(counts["item_id"], pa.array(item_ids, pa.string())).to_numpy()
    return float(examples[covered].sum() / examples.sum())


class _Choice:
    """The rows of a catalogue, and which of them are still kept."""

    def __init__(self, config: Config, counts: Counts, day: datetime.date, catalogue: Partition):
        self._rules = config.selection
        self._counts, self._day = counts, day
        self._end = Calendar.of(config).end_of(day)
        named = [self._rules.channel] if self._rules.channel is not None else []
        self._keys = {raw.name: raw.key for raw in raw_features(config, "candidate")}
        features = dict.fromkeys(self._keys[one] for one in [*named, *self._rules.required])
        self._table = read_columns(catalogue, ["item_id", "published_at", *features])
        published = self._table["published_at"]
        self._published = pc.fill_null(published, int(_UNKNOWN)).to_numpy()
        self._recent = np.zeros(len(self._table), bool)
        if self._rules.always_hours:
            since = self._end - self._rules.always_hours * _SECONDS_PER_HOUR
            self._recent = self._published >= since
        self.kept = np.ones(len(self._table), bool)
        self._left_out: list[dict] = []
        self._saved = np.zeros(len(self._table), bool)

    def apply(self, withdrawn: Collection[str]) -> None:
        """Applies every rule that is configured."""
        rules = self._rules
        self._keep("duplicate_ids", last_of_each_id(self._table["item_id"]))
        self._keep("not_yet_published", published_before(self._table["published_at"], self._end))
        if withdrawn:
            self._keep("withdrawn", ~self._is_in(withdrawn))
        if rules.deny is not None:
            self._keep("deny", ~self._listed("deny", rules.deny))
        if rules.allow is not None:
            self._keep("allow", self._listed("allow", rules.allow))
        self._apply_ages()
        for name in rules.required:
            self._keep(f"required: {name}", _is_given(self._table[self._keys[name]]))
        if rules.min_examples:
            self._keep("min_examples", self._engagement >= rules.min_examples, spare=True)
        if rules.max_per_channel is not None:
            self._keep("max_per_channel", self._within_channel(), spare=True)

    def report(self) -> dict:
        """Returns what ``Selected.report`` is."""
        return {
            "rows": len(self.kept),
            "left_out": self._left_out,
            "always": int(self._saved.sum()),
            "selected": int(self.kept.sum()),
        }

    def _keep(self, rule: str, fits: np.ndarray, spare: bool = False) -> None:
        if spare:
            # No rule that doesn't spare them comes after one that does.
            self._saved |= self.kept & self._recent & ~fits
            fits = fits | self._recent
        self._left_out.append({"rule": rule, "items": int((self.kept & ~fits).sum())})
        self.kept &= fits

    def _apply_ages(self) -> None:
        rules = self._rules
        unknown = self._published == _UNKNOWN
        if rules.unknown_age == "drop":
            self._keep("unknown_age", ~unknown)
        if rules.min_age_days:
            until = self._end - rules.min_age_days * SECONDS_PER_DAY
            self._keep("min_age_days", unknown | (self._published <= until))
        if rules.max_age_days is not None:
            since = self._end - rules.max_age_days * SECONDS_PER_DAY
            self._keep("max_age_days", unknown | (self._published >= since))

    def _listed(self, key: str, path: str) -> np.ndarray:
        ids = read_ids(path, f"selection.{key}")
        column = pa.array(ids, pa.string())
        known = pc.is_in(column, self._table["item_id"].combine_chunks()).to_pylist()
        if said := unknown_ids(ids, known, f"selection.{key}: {path}", "the catalogue"):
            logging.warning("%s", said)
        return self._is_in(ids)

    def _is_in(self, ids: Collection[str]) -> np.ndarray:
        return pc.is_in(self._table["item_id"], pa.array(ids, pa.string())).to_numpy()

    @functools.cached_property
    def _engagement(self) -> np.ndarray:
        """[N] int64, the items' training examples in the window."""
        counts = self._counts.items_until(self._day, self._rules.engagement_days)
        at = pc.index_in(self._table["item_id"], counts["item_id"])
        at = pc.fill_null(at, -1).to_numpy()
        # The last place is where what was never seen looks.
        return np.append(counts["examples"].to_numpy(), 0)[at]

    def _within_channel(self) -> np.ndarray:
        rules = self._rules
        column = self._table[self._keys[rules.channel]]
        limited = self.kept & _is_given(column)
        rows = np.flatnonzero(limited)
        channel = _codes(column.filter(pa.array(limited)))
        newest, most_engaged = -self._published[rows], -self._engagement[rows]
        first, second = (
            (newest, most_engaged) if rules.channel_keeps == "newest" else (most_engaged, newest)
        )
        # By channel; within it the recent uploads, then by the keys; rows ascend already.
        order = np.lexsort([second, first, ~self._recent[rows], channel])
        ordered = channel[order]
        places = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        fits = np.ones(len(self.kept), bool)
        fits[rows[order]] = places < rules.max_per_channel
        return fits


def _codes(texts: pa.ChunkedArray) -> np.ndarray:
    """Returns [N] int: equal numbers for equal texts."""
    chunks = texts.dictionary_encode().unify_dictionaries().chunks
    return np.concatenate([np.zeros(0, np.int32), *(one.indices.to_numpy() for one in chunks)])


def _is_given(column: pa.ChunkedArray) -> np.ndarray:
    """Returns [N] bool: whether there is a time, a text or list that is not empty."""
    if pa.types.is_list(column.type):
        given = pc.greater(pc.list_value_length(column), 0)
    elif pa.types.is_string(column.type):
        given = pc.not_equal(column, "")
    else:
        given = pc.is_valid(column)
    return pc.fill_null(given, False).to_numpy()


def _worded(day: datetime.date, report: dict) -> str:
    left_out = [f"{one['items']:,} by {one['rule']}" for one in report["left_out"] if one["items"]]
    always = f", {report['always']:,} of them by always_hours" if report["always"] else ""
    return (
        f"selection of {day}: {report['rows']:,} rows in the catalogue; "
        f"left out {', '.join(left_out) or 'none'}; {report['selected']:,} items selected{always}"
    )
