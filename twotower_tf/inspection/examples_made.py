"""What examples the sampled events would make: histories, copies, rewards, bytes.

Made as ``examples.shards`` makes them, of the sample alone and in memory.
"""

import dataclasses
import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.examples.encoding.tfrecord import RecordWriter
from twotower_tf.examples.encoding.wire_format import byte_lengths
from twotower_tf.examples.plan import Plan
from twotower_tf.examples.schema import BASKET, HISTORY_DAYS, history_traits, raw_features
from twotower_tf.examples.shards import choice
from twotower_tf.examples.shards.example_encoder import ExampleEncoder
from twotower_tf.examples.shards.sequences import Sequence, make_sequence
from twotower_tf.examples.shards.shard_events import (
    ShardEvents,
    number_items,
    number_users,
    valid_events,
    without_past,
)
from twotower_tf.examples.shards.timeline import make_timeline
from twotower_tf.examples.users import history_rows
from twotower_tf.examples.users.histories import ShardHistories
from twotower_tf.inspection.snapshots_read import ReadProfiles

# So many examples are encoded to see how large they are.
_ENCODED = 4096
_QUANTILES = (0.5, 0.9, 1.0)


@dataclasses.dataclass(frozen=True)
class ExamplesMade:
    """What the sampled events would make.

    Attributes:
        events: How many of them are valid.
        users: Of how many users.
        copies: How many count as duplicates.
        examples: How many make an example, held out or not.
        without_reward: How many examples have a reward of 0.
        without_history: How many examples have an empty history.
        history_lengths: Half, nine in ten and all of the examples have one at most so long.
        example_bytes: The bytes of an example, None without any.
        stored_bytes: The same in a compressed file.
        event_bytes: The bytes of an event in the memory of a build.
    """

    events: int
    users: int
    copies: int
    examples: int
    without_reward: int
    without_history: int
    history_lengths: tuple[int, int, int]
    example_bytes: float | None
    stored_bytes: float | None
    event_bytes: float


@dataclasses.dataclass(frozen=True)
class _Past:
    """The events that are no copies, in order, and what was known before each."""

    rows: np.ndarray
    order: np.ndarray
    items: Sequence | None
    searches: Sequence | None


def examples_made(
    plan: Plan,
    events: pa.Table,
    searches: pa.Table | None,
    profiles: ReadProfiles | None,
) -> ExamplesMade:
    """Makes the examples of events, and says how they are.

    Args:
        plan: What a build would do.
        events: The valid ones of the sample, in ``event_schema``.
        searches: Those of the sample, None without a log of them.
        profiles: The users'.
    """
    logs = [events] if searches is None else [events, searches]
    numbered = number_users(*logs, duplicates=plan.config.examples.duplicates)
    past = _past_of(plan, numbered[0], numbered[1] if len(numbered) > 1 else None)
    valid = valid_events(numbered[0], past.order, past.rows)
    places = np.flatnonzero(choice.chosen(valid, plan.config.examples))
    if past.items is None:
        lists = pc.list_value_length(numbered[0].table["history"].combine_chunks())
        lengths = lists.to_numpy()[past.rows[places]]
    else:
        lengths = past.items.before_own(places).sizes.to_numpy()
    some = places[np.unique(np.linspace(0, len(places) - 1, _ENCODED).astype(np.int64))]
    encoded = _encoded(plan, numbered[0], past, some if len(places) else places, profiles)
    whole = io.BytesIO()
    with RecordWriter(whole) as writer:
        writer.write(encoded)
    quantiles = np.quantile(lengths, _QUANTILES, method="higher") if len(lengths) else [0] * 3
    rewards = events["reward"].to_numpy()[past.rows[places]]
    return ExamplesMade(
        events=len(events),
        users=len(pc.unique(events["user_id"])),
        copies=len(events) - len(past.rows),
        examples=len(places),
        without_reward=int((rewards == 0).sum()),
        without_history=int((lengths == 0).sum()),
        history_lengths=tuple(map(int, quantiles)),
        example_bytes=float(byte_lengths(encoded).mean()) if len(encoded) else None,
        stored_bytes=len(whole.getvalue()) / len(encoded) if len(encoded) else None,
        event_bytes=events.nbytes / max(1, len(events)),
    )


def _past_of(plan: Plan, events: ShardEvents, searches: ShardEvents | None) -> _Past:
    """Puts events in order; see ``ShardMaker.make``."""
    if not plan.carries:
        alone = without_past(events)
        line = make_timeline(alone.events, events.day, events.delivery, alone.carried, 0)
        return _Past(line.rows, alone.events.order, None, None)
    section, traits = plan.config.examples, history_traits(plan.config)
    schema = history_rows.schema_of(searches is not None, False, traits)
    nobody = ShardHistories(0, 1, section.full_histories_every_days, (), schema)
    before = nobody.lookup(events.user_ids)
    items = number_items(events, "item_id", before.items, traits)
    sequence = make_sequence(events, items, section.history_length)
    searched = None
    if searches is not None:
        queries = number_items(searches, "query", before.searches)
        searched = make_sequence(searches, queries, section.search_length)
    return _Past(sequence.timeline.rows, items.events.order, sequence, searched)


def _encoded(
    plan: Plan,
    events: ShardEvents,
    past: _Past,
    places: np.ndarray,
    profiles: ReadProfiles | None,
) -> pa.LargeBinaryArray:
    """Returns some of the events as examples; see ``ExampleFiles``."""
    rows = past.rows[places]
    table = events.table.take(pa.array(rows))
    items = plan.items_of(max(plan.days))
    users = None
    if profiles is not None:
        users, _ = profiles.of(table["user_id"].combine_chunks(), plan.config)
    filled = {"histories": None}
    if past.items is not None:
        asked = {raw.filled_in for raw in raw_features(plan.config, "query")}
        history = past.items.before_own(places)
        filled = {
            "histories": history,
            "history_times": past.items.times_of(history) if HISTORY_DAYS in asked else None,
            "history_traits": past.items.traits_of(history),
            "baskets": past.items.basket_of_own(places) if BASKET in asked else None,
        }
    if past.searches is not None:
        known = events.user[rows], events.day[rows], events.time[rows]
        filled["searches"] = past.searches.before(*known)
    found = items.rows_of(table["item_id"].combine_chunks())
    return ExampleEncoder(plan.config, items).encode(table, found, profiles=users, **filled)
