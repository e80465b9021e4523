"""Makes the ranking examples of a shard: of its impressions, as of each, and what came of them."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.config.ranking import knows_length
from twotower_tf.examples.outcome import Report, count_days
from twotower_tf.examples.plan import Plan
from twotower_tf.examples.shards.choice import ValidEvents, final_order
from twotower_tf.examples.shards.example_files import ExampleFiles
from twotower_tf.examples.shards.impression_choice import Pages, page_splits, pages_of, weights
from twotower_tf.examples.shards.impression_features import ImpressionFeatures, Impressions
from twotower_tf.examples.shards.outcomes import Outcomes, outcomes_of
from twotower_tf.examples.shards.sequences import Sequence, make_sequence, timeline_of
from twotower_tf.examples.shards.shard_events import ShardEvents, number_items, valid_events
from twotower_tf.examples.shards.shard_joins import OrderedExamples
from twotower_tf.examples.shards.timeline import group_starts
from twotower_tf.examples.users.history_rows import ANSWERED, Carried

# From a log and some of its rows to what was known before each, by field of ``OrderedExamples``.
PastOf = Callable[[ShardEvents, np.ndarray], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the users of a shard were shown.

    Attributes:
        log: The n impressions, copies included.
        hash: uint64 [n], ``hashes.event_hashes``.
        sequence: They in order, with the trait ``ANSWERED``.
        outcomes: What came of the m that are no copies, in the order of the sequence's timeline.
    """

    log: ShardEvents
    hash: np.ndarray
    sequence: Sequence
    outcomes: Outcomes


def shown_in_order(
    config: Config, log: ShardEvents, carried: Carried, events: ShardEvents, done: Sequence
) -> Shown:
    """Puts what users were shown in order, and finds what came of it.

    Args:
        config: Says how.
        log: The impressions.
        carried: What users were shown before, with the trait ``ANSWERED``.
        events: The events.
        done: They in order.
    """
    items, length = number_items(log, "item_id", carried), config.ranking.shown_length
    timeline = timeline_of(log, items, length)
    outcomes = outcomes_of(config, log, items, timeline.rows, events, done)
    answered = pa.array(_spread(outcomes.answered, timeline.rows, len(log)))
    before = carried.traits[ANSWERED].flatten()
    items = dataclasses.replace(items, traits={ANSWERED: pa.concat_arrays([answered, before])})
    sequence = make_sequence(log, items, length, timeline)
    return Shown(log, items.events.order, sequence, outcomes)


class RankingExamples:
    """Makes the ranking examples of shards.

    Args:
        plan: What to build.
    """

    def __init__(self, plan: Plan):
        self._plan = plan
        self._config = plan.config
        self._files = ExampleFiles(plan, storage.RANKING)

    def write(self, shard: int, shown: Shown, past_of: PastOf) -> Iterator[Report]:
        """Writes a shard's files of ranking examples; reports them, and what was counted.

        Args:
            shard: Its number.
            shown: What its users were shown.
            past_of: Finds what they did before.
        """
        rows = shown.sequence.timeline.rows
        valid = valid_events(shown.log, shown.hash, rows)
        pages = pages_of(valid, shown.log.table["page_id"].combine_chunks().take(pa.array(rows)))
        splits = page_splits(pages, self._config.examples.holdout_share)
        clicked = shown.outcomes.clicked
        weight = weights(self._config, valid, splits, clicked)
        watched, corrected = self._watched(shown, rows)
        places = np.flatnonzero(weight)
        yield from _counts(shown, valid, pages, clicked & (weight > 0.0), corrected)
        yield from count_days("ranking/left_out", valid.day, valid.day[places])
        examples = valid[places]
        order = final_order(examples, splits[places], self._config.examples)
        places = places[order]
        chosen = rows[places]
        ordered = OrderedExamples(
            shown.log,
            event_hash=examples.hash[order],
            rows=chosen,
            days=examples.day[order],
            splits=splits[places],
            **past_of(shown.log, chosen),
        )
        spread = functools.partial(_spread, rows=rows, size=len(shown.log))
        impressions = Impressions(
            shown.sequence,
            places=spread(np.arange(len(rows))),
            clicked=spread(clicked),
            watched=spread(watched),
            weight=spread(weight),
            page=spread(pages.page),
        )
        features = ImpressionFeatures(self._config, impressions)
        yield from self._files.write(shard, ordered, features)

    def _watched(self, shown: Shown, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns how long some impressions were watched for, and where that was corrected.

        Events may tell less than no time; and more than the item lasts, which
        ``ranking.overlong`` lets pass or not.
        """
        told = shown.outcomes.watched
        watched = np.maximum(told, 0.0)
        if self._config.ranking.overlong == "cap" and knows_length(self._config):
            item_ids = shown.log.table["item_id"].combine_chunks()
            days = np.where(watched > 0.0, shown.log.day[rows], 0)
            for day in np.unique(days[days > 0]).tolist():
                places = np.flatnonzero(days == day)
                items = self._plan.items_of(day)
                lasts = items.divisors(items.rows_of(item_ids.take(pa.array(rows[places]))))
                # What is not known to last for a while may be watched for long.
                longest = np.where(lasts > 0.0, lasts, np.inf)
                watched[places] = np.minimum(watched[places], longest)
        return watched, watched != told


def _spread(values: np.ndarray, rows: np.ndarray, size: int) -> np.ndarray:
    """Returns values in their rows, of so many, 0 in the others."""
    spread = np.zeros(size, values.dtype)
    spread[rows] = values
    return spread


def _counts(
    shown: Shown, valid: ValidEvents, pages: Pages, clicked: np.ndarray, corrected: np.ndarray
) -> Iterator[Report]:
    """Counts impressions: all, and by what became of them."""
    nothing = valid.day[:0]
    yield from count_days("impressions_used", valid.day, nothing)
    yield from count_days("impressions_duplicates", shown.log.day, valid.day)
    yield from count_days("ranking/clicked", valid.day[clicked], nothing)
    order = np.lexsort((pages.page, valid.day))
    first = order[group_starts(valid.day[order], pages.page[order])]
    yield from count_days("ranking/pages", valid.day[first], nothing)
    yield from count_days("ranking/pages_again", valid.day[pages.again], nothing)
    yield from count_days("ranking/watched_corrected", valid.day[corrected], nothing)
