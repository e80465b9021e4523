"""What a release is asked for known users: their past and their profile, as the build left them."""

from collections.abc import Sequence

import pyarrow as pa

from twotower_tf.config import Config
from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.schema import (
    BASKET,
    HISTORY,
    HISTORY_DAYS,
    OWN,
    SEARCHES,
    SEED_ITEM_ID,
    SHOWN,
)
from twotower_tf.examples.users import histories, history_rows, profiles
from twotower_tf.examples.values import SECONDS_PER_DAY
from twotower_tf.serving.serving_description import features_of
from twotower_tf.storage import Partition, Workdir

Row = dict[str, list]


class UserQueries:
    """Makes the queries of users who did something, or were shown something, up to a day.

    Args:
        config: What the source has.
        workdir: Has histories and profiles.
        serving: Says what the release asks for (``serving_description``).
    """

    def __init__(self, config: Config, workdir: Workdir, serving: dict):
        self._config, self._workdir = config, workdir
        self._features = features_of(serving, "query")
        of_ranking = features_of(serving, "ranking")
        self._beside = [raw for raw in of_ranking if raw.type.is_list]
        asked = {raw.filled_in for raw in self._features} | {raw.column for raw in self._beside}
        self._traits = [name for name in history_rows.TRAITS if name in asked]
        self._has_searches = config.source.searches is not None
        self._has_shown = bool(of_ranking)
        self._has_own = bool({raw.name for raw in features_of(serving, "more")} & set(OWN))

    def of(self, partition: Partition, user_ids: Sequence[str]) -> list[dict | None]:
        """Returns a query for each user: what is asked of them as of the end of a day.

        Args:
            partition: The histories of the day.
            user_ids: No user twice.

        Returns:
            Raw features by name, see ``Recommender.query_for_user``; None of a user of whom nothing
            that is asked for is known.

        Raises:
            InputError: If histories or profiles are gone.
        """
        rows = histories.find_users(self._workdir, partition, user_ids, self._schema())
        end = Calendar.of(self._config).end_of(partition.day)
        known = [user for user, row in zip(user_ids, rows, strict=True) if self._is_known(row)]
        found = dict(zip(known, self._profiles(known, partition), strict=True))
        return [
            self._query(row, found[user], end) if user in found else None
            for user, row in zip(user_ids, rows, strict=True)
        ]

    def _schema(self) -> pa.Schema:
        return history_rows.schema_of(
            self._has_searches, self._has_own, self._traits, self._has_shown
        )

    def _is_known(self, row: Row | None) -> bool:
        told = ("item_ids", history_rows.SEARCHES[0][0], history_rows.SHOWN[0][0])
        return row is not None and any(row.get(name) for name in told)

    def _profiles(self, user_ids: Sequence[str], partition: Partition) -> list[dict]:
        """Returns the values of users' profiles as of a day, by feature name.

        Without a profile, a feature that is the user's id still has it.
        """
        of_users = self._workdir.latest(profiles.KIND, partition.day)
        found = [None] * len(user_ids)
        if of_users is not None:
            found = profiles.find_profiles(of_users, user_ids, self._config)
        return [
            profiles.values_without(user_id, self._config) if profile is None else profile
            for user_id, profile in zip(user_ids, found, strict=True)
        ]

    def _query(self, row: Row, profile: dict, end: int) -> dict:
        past = self._past(row, end)
        query = {}
        for raw in self._features:
            # The age of an event that is yet to come is the feature's default.
            if raw.name in profile and not raw.type.depends_on_time:
                query[raw.name] = profile[raw.name]
            elif raw.filled_in is not None:
                query[raw.name] = raw.type.of_past(past[raw.filled_in])
        query |= {raw.name: raw.type.of_past(past[raw.column]) for raw in self._beside}
        return query | self._own_items(row, end)

    def _past(self, row: Row, end: int) -> dict[str, list]:
        """Returns what the build fills in from a user's past, by column."""
        item_ids = row["item_ids"]
        past = {
            # Nobody says what a known user has in the basket now.
            BASKET: [],
            HISTORY: item_ids,
            HISTORY_DAYS: _days(row["timestamps"], end),
            SEED_ITEM_ID: item_ids[-1:],
            SEARCHES: row[history_rows.SEARCHES[0][0]] if self._has_searches else [],
            **{trait: row[history_rows.TRAITS[trait][0]] for trait in self._traits},
        }
        if self._has_shown:
            ids, times, answered = (row[name] for name, _ in history_rows.SHOWN)
            clicked = [float(one > 0) for one in answered]
            past |= zip(SHOWN, (ids, _days(times, end), clicked), strict=True)
        return past

    def _own_items(self, row: Row, end: int) -> dict[str, list]:
        """Returns a user's own items, if the release asks for them."""
        if not self._has_own:
            return {}
        items = histories.own_items(row)
        days = _days([item.last for item in items], end)
        values = [item.item_id for item in items], [item.count for item in items], days
        return dict(zip(OWN, values, strict=True))


def _days(times: Sequence[int], end: int) -> list[float]:
    return [(end - time) / SECONDS_PER_DAY for time in times]
