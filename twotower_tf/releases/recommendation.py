"""Asking a release: raw query features or a known user in; item ids, scores and titles out."""

import datetime
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from twotower_tf.config import Config
from twotower_tf.config.section import nearest
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.items import catalogue
from twotower_tf.examples.items.catalogue_reader import find_texts, find_titles
from twotower_tf.examples.schema import (
    BASKET,
    HISTORY,
    HISTORY_DAYS,
    OWN,
    SEARCHES,
    SEED_ITEM_ID,
    SHOWN,
    RawFeature,
    history_feature,
)
from twotower_tf.examples.users import histories, history_rows, profiles
from twotower_tf.examples.values import SECONDS_PER_DAY
from twotower_tf.releases.reasons import reasons
from twotower_tf.releases.releases import read_current, require_current
from twotower_tf.serving.asking import Recommended, ask, ask_ranked
from twotower_tf.serving.serving_description import asked_features, features_of, ranked_features
from twotower_tf.storage import Partition, Workdir


class Explained(NamedTuple):
    """A recommended item, and why.

    Attributes:
        recommended: What the release says of it.
        title: ``""``: none.
        why: A few words each.
    """

    recommended: Recommended
    title: str
    why: list[str]


class Recommender:
    """Asks the current release of a configuration's model.

    Args:
        config: Names the model and its features.
        workdir: Has its releases, catalogues, histories and profiles.

    Raises:
        InputError: If nothing was released yet.
    """

    def __init__(self, config: Config, workdir: Workdir):
        self._config = config
        self._workdir = workdir
        self._end_of = Calendar.of(config).end_of
        self.release = require_current(workdir, config.name)
        self._serving = self.release.read_serving()

    def recommend(
        self,
        query: Mapping[str, object],
        k: int | None = None,
        exclude_ids: Sequence[str] = (),
    ) -> list[tuple[str, float, str]]:
        """Returns the best items for a query.

        Args:
            query: Raw query features by name: texts, numbers, lists of them. Missing ones get
                their declared defaults.
            k: How many items are wanted, ``index.default_k`` of the release if None; fewer come
                where the catalogue is smaller.
            exclude_ids: Items that may not come, such as those that the user has seen.

        Returns:
            (item id, score, title) each, best first. The score is the cosine, in [-1, 1], plus
            what nominators beside the index say of the item, if the release has any; the title is
            ``""`` where the catalogue of the release's day has none.

        Raises:
            InputError: If k is less than 1, or the query does not fit the release.
            JobError: If no item is left: all are excluded.
        """
        answer = self._asked(ask, asked_features(self._serving), query, k, exclude_ids)
        titles = self.titles([item_id for item_id, _ in answer])
        return [(item_id, score, titles.get(item_id, "")) for item_id, score in answer]

    @property
    def ranks(self) -> bool:
        """Whether the release has a second stage, and ``recommend_ranked`` can be asked."""
        return bool(features_of(self._serving, "ranking"))

    def recommend_ranked(
        self,
        query: Mapping[str, object],
        k: int | None = None,
        exclude_ids: Sequence[str] = (),
    ) -> list["Explained"]:
        """Returns the items that are likely to be watched longest, and why; see ``recommend``.

        Args:
            query: Also what the release knows of a user's impressions, and of the request.
            k: See ``recommend``; no more than ``ranking.candidates`` come.
            exclude_ids: See ``recommend``.
        """
        features = ranked_features(self._serving)
        answer = self._asked(ask_ranked, features, query, k, exclude_ids)
        ids = [one.item_id for one in answer]
        titles, history = self.titles(ids), history_feature(self._config).name
        query = checked_query(query, features)
        likes = self._likes([*ids, *query.get(history, []), *query.get(SHOWN[0], [])])
        return [
            Explained(
                one,
                titles.get(one.item_id, ""),
                reasons(one.item_id, one.source, query, history, likes),
            )
            for one in answer
        ]

    def _asked(self, ask_for: Callable, features, query, k: int | None, exclude_ids) -> list:
        """Asks the release one question; returns its answer, which is never empty."""
        k = self._serving["default_k"] if k is None else k
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}")
        query = checked_query(query, features)
        model = self._model
        # Of more than there are it is as good to ask for all.
        most = max(1, self._serving["items"])
        (answer,) = ask_for(model, features, [query], min(k, most), [exclude_ids])
        if not answer:
            raise JobError(
                f"there is nothing to recommend: all of the {most:,} items of release "
                f"{self.release.version} are excluded"
            )
        return answer

    def _likes(self, item_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Returns what items have in common: by feature its value by item id."""
        partition = self._workdir.latest(catalogue.KIND, self.release.day)
        if partition is None:
            return {}
        keys = {raw.name: raw.key for raw in features_of(self._serving, "candidate")}
        likes = self._config.ranking.likes
        return {name: find_texts(partition, keys[name], item_ids) for name in likes}

    def query_for_user(self, user_id: str) -> dict:
        """Returns a user's query: history, its last item as the seed, past searches, profile.

        With ``own_items`` among the release's nominators also the user's own items, and with
        ranking the past impressions.

        Features of the event, which hasn't happened yet, are left to their defaults.

        Raises:
            InputError: If the newest histories don't have the user.
        """
        partition = self._newest_histories()
        item_ids, times = (
            histories.find_history(self._workdir, partition, user_id) if partition else ([], [])
        )
        searches, shown = self._searches(user_id, partition), self._shown(user_id, partition)
        if not item_ids and not searches and not any(shown.values()):
            until = f" up to {partition.day}" if partition else ""
            raise InputError(
                f"user '{user_id}' has no history{until} in {self._workdir.root}: "
                "check the id, or describe the user with --query"
            )
        profile = self._profile(user_id, partition.day)
        days = [(self._end_of(partition.day) - time) / SECONDS_PER_DAY for time in times]
        features = features_of(self._serving, "query")
        beside = [raw for raw in features_of(self._serving, "ranking") if raw.type.is_list]
        asked = {raw.filled_in for raw in features} | {raw.column for raw in beside}
        traits = [name for name in history_rows.TRAITS if name in asked]
        past = {
            # Nobody says what a known user has in the basket now.
            BASKET: [],
            HISTORY: item_ids,
            HISTORY_DAYS: days,
            SEED_ITEM_ID: item_ids[-1:],
            SEARCHES: searches,
            **shown,
            **histories.find_traits(self._workdir, partition, user_id, traits),
        }
        query = {}
        for raw in features:
            # The age of an event that is yet to come is the feature's default.
            if raw.name in profile and not raw.type.depends_on_time:
                query[raw.name] = profile[raw.name]
            elif raw.filled_in is not None:
                query[raw.name] = raw.type.of_past(past[raw.filled_in])
        query |= {raw.name: raw.type.of_past(past[raw.column]) for raw in beside}
        return query | self._own_items(user_id, partition)

    def _own_items(self, user_id: str, partition: Partition) -> dict:
        """Returns a user's own items at the end of a day, if the release asks for them."""
        if not {raw.name for raw in features_of(self._serving, "more")} & set(OWN):
            return {}
        items = histories.find_own_items(self._workdir, partition, user_id)
        end = self._end_of(partition.day)
        days = [(end - item.last) / SECONDS_PER_DAY for item in items]
        values = [item.item_id for item in items], [item.count for item in items], days
        return dict(zip(OWN, values, strict=True))

    def _shown(self, user_id: str, partition: Partition | None) -> dict:
        """Returns a user's past impressions at the end of a day, if the release asks for them."""
        if partition is None or not self.ranks:
            return {}
        ids, times, answered = histories.find_shown(self._workdir, partition, user_id)
        days = [(self._end_of(partition.day) - time) / SECONDS_PER_DAY for time in times]
        return dict(zip(SHOWN, (ids, days, [float(one > 0) for one in answered]), strict=True))

    def _searches(self, user_id: str, partition: Partition | None) -> list[str]:
        """Returns a user's past searches, none where the source has no log of them."""
        if partition is None or self._config.source.searches is None:
            return []
        return histories.find_searches(self._workdir, partition, user_id)

    def _profile(self, user_id: str, day: datetime.date) -> dict:
        """Returns the values of a user's profile as of a day, by feature name.

        Without a profile, a feature that is the user's id still has it.
        """
        partition = self._workdir.latest(profiles.KIND, day)
        profile = partition and profiles.find_profile(partition, user_id, self._config)
        if profile is not None:
            return profile
        return profiles.values_without(user_id, self._config)

    def some_users(self, count: int) -> list[str]:
        """Returns the ids of at most so many users with a history, always the same ones."""
        partition = self._newest_histories()
        return histories.some_users(self._workdir, partition, count) if partition else []

    def titles(self, item_ids: Sequence[str]) -> dict[str, str]:
        """Returns the titles of items, of those with one in the catalogue of the release's day."""
        partition = self._workdir.latest(catalogue.KIND, self.release.day)
        return find_titles(partition, item_ids) if partition else {}

    @functools.cached_property
    def _model(self):
        # Another release may have become current since, and this one may have been pruned.
        self.release, model = read_current(
            self._workdir, self.release.model, lambda release: (release, release.load_saved_model())
        )
        self._serving = self.release.read_serving()
        return model

    def _newest_histories(self) -> Partition | None:
        return self._workdir.latest(histories.KIND, datetime.date.max)


def checked_query(query: Mapping[str, object], features: Sequence[RawFeature]) -> dict:
    """Checks a query's keys and values, and returns it as the release takes it.

    What a data file may have, a query may have too: whole numbers are ids as well.

    Args:
        query: Raw query features by name.
        features: Those there are.

    Raises:
        InputError: For the first unknown key, wrong type or list of weights of a wrong length.
    """
    known = {raw.name: raw for raw in features}
    checked: dict[str, object] = {}
    for name, value in query.items():
        if name not in known:
            raise InputError(
                f"query: unknown feature '{name}'{nearest(name, known)} "
                f"(allowed: {', '.join(known)})"
            )
        try:
            checked[name] = known[name].type.asked(value)
        except ValueError:
            given = json.dumps(value, ensure_ascii=False)[:60]
            expected = known[name].type.expected
            raise InputError(f"query: '{name}' must be {expected}, got {given}") from None
    for raw in (raw for raw in features if raw.type.weighs is not None):
        ids = raw.type.weighs
        given, wanted = (len(checked.get(name, [])) for name in (raw.name, ids))
        if given != wanted:
            raise InputError(
                f"query: '{raw.name}' must have as many values as '{ids}', got {given} and {wanted}"
            )
    return checked
