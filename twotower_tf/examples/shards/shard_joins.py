"""The examples of a shard in the order of their files, and what they are joined with."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from twotower_tf.examples import matches
from twotower_tf.examples.items.item_lookup import ItemLookup
from twotower_tf.examples.outcome import Report
from twotower_tf.examples.plan import Plan, ProfileFiles
from twotower_tf.examples.shards.shard_events import ShardEvents
from twotower_tf.examples.shards.timeline import group_starts
from twotower_tf.examples.users import profiles


@dataclasses.dataclass(frozen=True)
class OrderedExamples:
    """n examples of a shard in the order of their files.

    Attributes:
        events: The shard's events, or its impressions.
        event_hash: uint64 [n], ``hashes.event_hashes``.
        rows: int64 [n], which of the events each example is of.
        days: int64 [n], ascending.
        splits: int64 [n], ascending within a day.
        histories: [n], as ranges of one array; None if the log gives them.
        history_times: [n], their times in Unix seconds, likewise; None too if nobody asks.
        history_traits: [n] each, what else is known of them, likewise.
        baskets: [n], the items of the same second that stand before each example's, likewise;
            None too if nobody asks.
        searches: [n], as ranges of one array; None if there is no log of them.
    """

    events: ShardEvents
    event_hash: np.ndarray
    rows: np.ndarray
    days: np.ndarray
    splits: np.ndarray
    histories: pa.LargeListViewArray | None
    history_times: pa.LargeListViewArray | None
    history_traits: dict[str, pa.LargeListViewArray]
    baskets: pa.LargeListViewArray | None
    searches: pa.LargeListViewArray | None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, piece: slice) -> "OrderedExamples":
        names = ("histories", "history_times", "baskets", "searches")
        given = {name: getattr(self, name) for name in names}
        return dataclasses.replace(
            self,
            event_hash=self.event_hash[piece],
            rows=self.rows[piece],
            days=self.days[piece],
            splits=self.splits[piece],
            history_traits={name: one[piece] for name, one in self.history_traits.items()},
            **{name: None if lists is None else lists[piece] for name, lists in given.items()},
        )

    def item_ids(self) -> pa.Array:
        """Returns their items, text [n]."""
        return self.events.table["item_id"].combine_chunks().take(pa.array(self.rows))

    def table(self) -> pa.Table:
        """Returns their records, as ``events`` has them."""
        return self.events.table.take(pa.array(self.rows))


class UserProfiles:
    """The profiles of a shard's users as of some days.

    Args:
        snapshot: The snapshot of the days; None: there are no profiles.
        shard: The shard's number.
        plan: What to build.
        examples: Those of the days.
    """

    def __init__(
        self, snapshot: ProfileFiles | None, shard: int, plan: Plan, examples: OrderedExamples
    ):
        self._users = np.unique(examples.events.user[examples.rows])
        self._found: pa.Table | None = None
        self._all_ids = examples.events.user_ids
        if snapshot is not None:
            user_ids = self._all_ids.take(pa.array(self._users))
            paths = snapshot.files(shard, plan.config.examples.shards)
            self._found, self._known = profiles.lookup(paths, user_ids, plan.config)

    def of(self, examples: OrderedExamples) -> pa.Table | None:
        """Returns the profiles of the users of some of the examples, [n], None without any."""
        if self._found is None:
            return None
        users = examples.events.user[examples.rows]
        return self._found.take(pa.array(np.searchsorted(self._users, users)))

    def matches(self, day: int, examples: OrderedExamples) -> Iterator[Report]:
        """Reports how many users of examples of a day have a profile, if there are any."""
        if self._found is None:
            return
        users = np.unique(examples.events.user[examples.rows])
        known = self._known[np.searchsorted(self._users, users)]
        user_ids = self._all_ids.take(pa.array(users))
        days = np.full(len(users), day)
        yield from matches.reports(days, matches.PROFILES, user_ids, known)


@dataclasses.dataclass(frozen=True)
class JoinedDays:
    """Examples of days that join with the same snapshots.

    Attributes:
        examples: The examples.
        items: The look-up in the catalogue as of the days.
        item_rows: int32 [n], where in it the item of each example is (``ItemLookup.rows_of``).
        profiles: The profiles as of the days.
    """

    examples: OrderedExamples
    items: ItemLookup
    item_rows: np.ndarray
    profiles: UserProfiles

    def days(self) -> Iterator[tuple[int, slice]]:
        """Yields every day, and which of the examples are its own."""
        starts = group_starts(self.examples.days).tolist()
        for start, end in itertools.pairwise([*starts, len(self.examples)]):
            yield int(self.examples.days[start]), slice(start, end)


def joined_days(plan: Plan, shard: int, examples: OrderedExamples) -> Iterator[JoinedDays]:
    """Yields the examples of a shard by what their days join with, oldest first."""
    starts = group_starts(examples.days)
    days = examples.days[starts].tolist()
    bounds = [*starts.tolist(), len(examples)]
    joins = [(plan.catalogue_of(day), plan.profiles_of(day)) for day in days]
    for (_, snapshot), group in itertools.groupby(range(len(days)), joins.__getitem__):
        numbers = list(group)
        some = examples[bounds[numbers[0]] : bounds[numbers[-1] + 1]]
        items = plan.items_of(days[numbers[0]])
        item_rows = items.rows_of(some.item_ids())
        users = UserProfiles(snapshot, shard, plan, some)
        yield JoinedDays(some, items, item_rows, users)
