"""Makes a shard: the examples and histories of its users, of all days of a build at once."""

import datetime
import os
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from twotower_tf import storage
from twotower_tf.examples.event_table import SEARCH_SCHEMA, event_schema
from twotower_tf.examples.outcome import Report, count, written
from twotower_tf.examples.plan import Plan, shard_path
from twotower_tf.examples.schema import BASKET, HISTORY_DAYS, history_traits, raw_features
from twotower_tf.examples.shards import choice
from twotower_tf.examples.shards.event_chunks import Place, read_chunks
from twotower_tf.examples.shards.example_files import ExampleFiles
from twotower_tf.examples.shards.own_items import OwnItems, OwnWalk, make_own_items
from twotower_tf.examples.shards.sequences import Sequence, active_users, make_sequence
from twotower_tf.examples.shards.shard_events import (
    ShardEvents,
    number_items,
    number_users,
    valid_events,
    without_past,
)
from twotower_tf.examples.shards.shard_joins import OrderedExamples
from twotower_tf.examples.shards.timeline import Actions, Timeline, make_timeline
from twotower_tf.examples.users import histories
from twotower_tf.examples.users.histories import ShardHistories


class ShardMaker:
    """Makes the files of shards of users: examples, histories, statistics and counts of each day.

    Args:
        plan: What to build.
    """

    def __init__(self, plan: Plan):
        self._plan = plan
        self._section = plan.config.examples
        self._files = ExampleFiles(plan)
        # What the build fills in and nobody asks for need not be made.
        self._asked = {raw.filled_in for raw in raw_features(plan.config, "query")}

    def make(self, shard: int, chunks: Iterable[Place]) -> Iterator[Report]:
        """Writes a shard's files to the scratch folder, and reports them.

        Args:
            shard: Its number.
            chunks: Where its events, and searches, are, in any order.
        """
        logs = self._logs(list(chunks))
        events, *searches = number_users(*logs, duplicates=self._section.duplicates)
        if not self._plan.carries:
            items = without_past(events)
            timeline = make_timeline(items.events, events.day, events.delivery, items.carried, 0)
            yield from self._write_examples(shard, events, items.events, timeline, [], None)
            return
        section = self._section
        traits = history_traits(self._plan.config)
        schema = histories.schema_of(bool(searches), bool(section.own_length), traits)
        chain = self._plan.chain_of(shard)
        past = ShardHistories(shard, section.full_histories_every_days, chain, schema)
        carried = past.lookup(events.user_ids)
        items = number_items(events, "item_id", carried.items, traits)
        sequences = [make_sequence(events, items, section.history_length)]
        for log in searches:
            queries = number_items(log, "query", carried.searches)
            sequences.append(make_sequence(log, queries, section.search_length))
            yield from _count_searches(log, sequences[-1].timeline)
        timeline = sequences[0].timeline
        own = None
        if carried.own is not None:
            own = make_own_items(events, items, timeline.rows, carried.own, section.own_length)
        yield from self._write_examples(shard, events, items.events, timeline, sequences, own)
        yield from self._write_histories(shard, past, events.user_ids, sequences, own)

    def _logs(self, chunks: list[Place]) -> list[pa.Table]:
        """Returns the shard's events; then, if the configuration has them, its searches."""
        schemas = {"events": event_schema(self._plan.config)}
        if self._plan.has_searches:
            schemas["searches"] = SEARCH_SCHEMA
        scratch = self._plan.scratch
        return [read_chunks(chunks, log, scratch, schema) for log, schema in schemas.items()]

    def _write_examples(
        self,
        shard: int,
        events: ShardEvents,
        actions: Actions,
        timeline: Timeline,
        sequences: list[Sequence],
        own: OwnItems | None,
    ) -> Iterator[Report]:
        """Writes the examples; ``sequences``: of items, then of searches, as far as there are."""
        valid = valid_events(events, actions.order, timeline.rows)
        places = np.flatnonzero(choice.chosen(valid, self._section))
        examples = valid[places]
        yield from _difference("duplicates", events.day, valid.day)
        yield from _difference("history_only", valid.day, examples.day)
        yield from _difference("users", timeline.days, timeline.days[:0])
        splits = choice.splits(examples, self._section)
        order = choice.final_order(examples, splits, self._section)
        places = places[order]
        items = sequences[0] if sequences else None
        history = items and items.before_own(places)
        ordered = OrderedExamples(
            events,
            event_hash=examples.hash[order],
            rows=timeline.rows[places],
            days=examples.day[order],
            splits=splits[order],
            histories=history,
            history_times=items.times_of(history) if HISTORY_DAYS in self._asked else None,
            history_traits=items.traits_of(history) if items else {},
            baskets=items.basket_of_own(places) if BASKET in self._asked else None,
            searches=_searches_before(sequences, events, timeline.rows[places]),
            own=own,
        )
        yield from self._files.write(shard, ordered)

    def _write_histories(
        self,
        shard: int,
        past: ShardHistories,
        user_ids: pa.Array,
        sequences: list[Sequence],
        own: OwnItems | None,
    ) -> Iterator[Report]:
        """Writes the shard's history file of every day."""
        walk = OwnWalk(own) if own is not None else None
        users, days = active_users([sequence.timeline for sequence in sequences])
        bounds = np.searchsorted(days, [*self._plan.days, np.inf])
        name = histories.file_name(shard, self._section.shards)
        rows_read = 0
        for number, day in enumerate(self._plan.days):
            active = slice(bounds[number], bounds[number + 1])
            columns = [user_ids.take(pa.array(users[active]))]
            for sequence in sequences:
                columns += sequence.states(users[active], days[active])
            if walk is not None:
                columns += walk.at_end(day, users[active])
            path = shard_path(histories.KIND, day, name)
            target = os.path.join(self._plan.scratch, path)
            table = pa.Table.from_arrays(columns, schema=past.schema)
            rows = past.write(datetime.date.fromordinal(day), target, table)
            yield written(path, rows, storage.checksum(target))
            # Of the first day also what was looked up.
            yield count(day, "history_rows_read", past.rows_read - rows_read)
            rows_read = past.rows_read


def _searches_before(
    sequences: list[Sequence], events: ShardEvents, rows: np.ndarray
) -> pa.LargeListViewArray | None:
    """Returns the searches before some of the events, None where there are no searches at all."""
    if len(sequences) < 2:
        return None
    return sequences[1].before(events.user[rows], events.day[rows], events.time[rows])


def _count_searches(searches: ShardEvents, timeline: Timeline) -> Iterator[Report]:
    kept = searches.day[timeline.rows]
    yield from _difference("searches_used", kept, kept[:0])
    yield from _difference("searches_duplicates", searches.day, kept)


def _difference(name: str, days: np.ndarray, fewer: np.ndarray) -> Iterator[Report]:
    """Counts by how much each day is more often among ``days`` than among ``fewer``."""
    distinct, counts = np.unique(days, return_counts=True)
    counts -= np.bincount(np.searchsorted(distinct, fewer), minlength=len(distinct))
    for day, number in zip(distinct.tolist(), counts.tolist(), strict=True):
        yield count(day, name, number)
