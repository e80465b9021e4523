"""Makes a shard: the examples and histories of its users, of all days of a build at once."""

import datetime
import functools
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from twotower_tf import storage
from twotower_tf.examples.event_table import SEARCH_SCHEMA, event_schema, impression_schema
from twotower_tf.examples.outcome import Report, count, count_days, written
from twotower_tf.examples.plan import Plan, shard_path
from twotower_tf.examples.schema import BASKET, HISTORY_DAYS, history_traits, raw_features
from twotower_tf.examples.shards import choice
from twotower_tf.examples.shards.event_chunks import Place, read_chunks
from twotower_tf.examples.shards.example_files import ExampleFiles
from twotower_tf.examples.shards.own_features import OwnFeatures
from twotower_tf.examples.shards.own_items import OwnItems, OwnWalk, make_own_items
from twotower_tf.examples.shards.ranking_examples import RankingExamples, shown_in_order
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
from twotower_tf.examples.users import histories, history_rows
from twotower_tf.examples.users.histories import ShardHistories


class ShardMaker:
    """Makes the files of shards of users, of each day: examples of events and of impressions,
    histories, statistics and counts.

    Args:
        plan: What to build.
    """

    def __init__(self, plan: Plan):
        self._plan = plan
        self._section = plan.config.examples
        self._files = ExampleFiles(plan)
        self._ranking = RankingExamples(plan) if plan.config.ranking is not None else None
        # What the build fills in and nobody asks for need not be made.
        self._asked = {raw.filled_in for raw in raw_features(plan.config, "query")}

    def make(self, shard: int, chunks: Iterable[Place]) -> Iterator[Report]:
        """Writes a shard's files to the scratch folder, and reports them.

        Args:
            shard: Its number.
            chunks: Where its events, searches and impressions are, in any order.
        """
        tables = self._logs(list(chunks))
        numbered = number_users(*tables.values(), duplicates=self._section.duplicates)
        logs = dict(zip(tables, numbered, strict=True))
        events = logs["events"]
        if not self._plan.carries:
            items = without_past(events)
            timeline = make_timeline(items.events, events.day, events.delivery, items.carried, 0)
            yield from self._write_examples(shard, events, items.events, timeline, {}, None)
            return
        section = self._section
        traits = history_traits(self._plan.config)
        schema = history_rows.schema_of(
            "searches" in logs, bool(section.own_length), traits, "impressions" in logs
        )
        chain = self._plan.chain_of(shard)
        every = section.full_histories_every_days
        past = ShardHistories(shard, section.shards, every, chain, schema)
        carried = past.lookup(events.user_ids)
        items = number_items(events, "item_id", carried.items, traits)
        sequences = {"events": make_sequence(events, items, section.history_length)}
        if "searches" in logs:
            searches = logs["searches"]
            queries = number_items(searches, "query", carried.searches)
            sequences["searches"] = make_sequence(searches, queries, section.search_length)
            yield from _count_searches(searches, sequences["searches"].timeline)
        timeline = sequences["events"].timeline
        own = None
        if carried.own is not None:
            own = make_own_items(events, items, timeline.rows, carried.own, section.own_length)
        yield from self._write_examples(shard, events, items.events, timeline, sequences, own)
        if self._ranking is not None:
            shown = shown_in_order(
                self._plan.config, logs["impressions"], carried.shown, events, sequences["events"]
            )
            past_of = functools.partial(_past_of, sequences)
            yield from self._ranking.write(shard, shown, past_of)
            sequences["impressions"] = shown.sequence
        yield from self._write_histories(shard, past, events.user_ids, [*sequences.values()], own)

    def _logs(self, chunks: list[Place]) -> dict[str, pa.Table]:
        """Returns the shard's events, and the other logs that the configuration has."""
        schemas = {"events": event_schema(self._plan.config)}
        if self._plan.has_searches:
            schemas["searches"] = SEARCH_SCHEMA
        if self._ranking is not None:
            schemas["impressions"] = impression_schema(self._plan.config)
        scratch = self._plan.scratch
        return {log: read_chunks(chunks, log, scratch, schema) for log, schema in schemas.items()}

    def _write_examples(
        self,
        shard: int,
        events: ShardEvents,
        actions: Actions,
        timeline: Timeline,
        sequences: dict[str, Sequence],
        own: OwnItems | None,
    ) -> Iterator[Report]:
        """Writes the examples; ``sequences``: by log, none where it gives the histories."""
        valid = valid_events(events, actions.order, timeline.rows)
        places = np.flatnonzero(choice.chosen(valid, self._section))
        examples = valid[places]
        yield from count_days("duplicates", events.day, valid.day)
        yield from count_days("history_only", valid.day, examples.day)
        yield from count_days("users", timeline.days, timeline.days[:0])
        splits = choice.splits(examples, self._section)
        order = choice.final_order(examples, splits, self._section)
        places = places[order]
        items = sequences.get("events")
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
        )
        yield from self._files.write(shard, ordered, OwnFeatures(own) if own else None)

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


def _past_of(sequences: dict[str, Sequence], log: ShardEvents, rows: np.ndarray) -> dict[str, Any]:
    """Returns what was known before some records of another log (see ``OrderedExamples``)."""
    items = sequences["events"]
    history = items.before(log.user[rows], log.day[rows], log.time[rows])
    return {
        "histories": history,
        "history_times": items.times_of(history),
        "history_traits": items.traits_of(history),
        # Nothing is bought with what is only shown.
        "baskets": items.nothing(len(rows)),
        "searches": _searches_before(sequences, log, rows),
    }


def _searches_before(
    sequences: dict[str, Sequence], log: ShardEvents, rows: np.ndarray
) -> pa.LargeListViewArray | None:
    """Returns the searches before some records of a log, None where there are no searches."""
    if "searches" not in sequences:
        return None
    return sequences["searches"].before(log.user[rows], log.day[rows], log.time[rows])


def _count_searches(searches: ShardEvents, timeline: Timeline) -> Iterator[Report]:
    kept = searches.day[timeline.rows]
    yield from count_days("searches_used", kept, kept[:0])
    yield from count_days("searches_duplicates", searches.day, kept)
