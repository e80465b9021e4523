"""Asking a release: raw query features or a known user in; item ids, scores and titles out."""

import datetime
import functools
import json
import math
from collections.abc import Mapping, Sequence

from twotower_tf.config import Config
from twotower_tf.config.section import nearest
from twotower_tf.errors import InputError
from twotower_tf.examples.items import catalogue
from twotower_tf.examples.items.catalogue_reader import load_titles
from twotower_tf.examples.schema import HISTORY, SEARCHES, SEED_ITEM_ID
from twotower_tf.examples.users import histories, profiles
from twotower_tf.releases.releases import read_current, require_current
from twotower_tf.serving.asking import ask
from twotower_tf.serving.serving_description import features_of
from twotower_tf.storage import Partition, Workdir


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
        self.release = require_current(workdir, config.name)
        self._serving = self.release.serving()

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
            (item id, score, title) each, best first. The score is the cosine, in [-1, 1]; the
            title is ``""`` where the catalogue of the release's day has none.

        Raises:
            InputError: If k is less than 1, or the query does not fit the release.
        """
        k = self._serving["default_k"] if k is None else k
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}")
        check_query(query, self._serving["query_features"])
        features = features_of(self._serving, "query")
        (answer,) = ask(self._model, features, [query], k, [exclude_ids])
        return [(item_id, score, self.title(item_id)) for item_id, score in answer]

    def query_for_user(self, user_id: str) -> dict:
        """Returns a user's query: history, its last item as the seed, past searches, profile.

        Features of the event, which hasn't happened yet, are left to their defaults.

        Raises:
            InputError: If the newest histories don't have the user.
        """
        partition = self._newest_histories()
        item_ids = histories.find_history(self._workdir, partition, user_id) if partition else []
        searches = self._searches(user_id, partition)
        if not item_ids and not searches:
            until = f" up to {partition.day}" if partition else ""
            raise InputError(
                f"user '{user_id}' has no history{until} in {self._workdir.root}: "
                "check the id, or describe the user with --query"
            )
        profile = self._profile(user_id, partition.day)
        query = {}
        for raw in self._serving["query_features"]:
            name = raw["name"]
            # The age of an event that is yet to come is the feature's default.
            if raw["since"] is not None:
                continue
            if name in profile:
                query[name] = profile[name]
            elif raw["of"] == "event" and raw["column"] == HISTORY:
                query[name] = item_ids
            elif raw["of"] == "event" and raw["column"] == SEARCHES:
                query[name] = searches
            elif raw["of"] == "event" and raw["column"] == SEED_ITEM_ID and item_ids:
                query[name] = item_ids[-1:] if raw["is_list"] else item_ids[-1]
        return query

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

    def title(self, item_id: str) -> str:
        """Returns the title of an item in the catalogue of the release's day, ``""`` if none."""
        return self._titles.get(item_id, "")

    @functools.cached_property
    def _titles(self) -> dict[str, str]:
        partition = self._workdir.latest(catalogue.KIND, self.release.day)
        return load_titles(partition) if partition else {}

    @functools.cached_property
    def _model(self):
        # Another release may have become current since, and this one may have been pruned.
        self.release, model = read_current(
            self._workdir, self.release.model, lambda release: (release, release.load())
        )
        self._serving = self.release.serving()
        return model

    def _newest_histories(self) -> Partition | None:
        return self._workdir.latest(histories.KIND, datetime.date.max)


def check_query(query: Mapping[str, object], features: Sequence[Mapping]) -> None:
    """Checks a query's keys and the types of its values.

    Args:
        query: Raw query features by name.
        features: Those there are, ``Release.serving()["query_features"]``.

    Raises:
        InputError: For the first unknown key, wrong type or list of weights of a wrong length.
    """
    known = {raw["name"]: raw for raw in features}
    for name, value in query.items():
        if name not in known:
            raise InputError(
                f"query: unknown feature '{name}'{nearest(name, known)} "
                f"(allowed: {', '.join(known)})"
            )
        if not _has_type(value, known[name]):
            given = json.dumps(value, ensure_ascii=False)[:60]
            raise InputError(f"query: '{name}' must be {_expected(known[name])}, got {given}")
    for name, raw in known.items():
        if raw["is_list"] and raw["dtype"] == "float":
            ids = name.removesuffix("_weights")
            given, wanted = len(query.get(name, [])), len(query.get(ids, []))
            if given != wanted:
                raise InputError(
                    f"query: '{name}' must have as many values as '{ids}', got {given} and {wanted}"
                )


def _expected(raw: Mapping) -> str:
    if raw["is_list"]:
        return "a list of texts" if raw["dtype"] == "bytes" else "a list of numbers"
    return "a text in quotes" if raw["dtype"] == "bytes" else "a number"


def _has_type(value: object, raw: Mapping) -> bool:
    if raw["is_list"]:
        element = {**raw, "is_list": False}
        return isinstance(value, list) and all(_has_type(one, element) for one in value)
    if raw["dtype"] == "bytes":
        return isinstance(value, str)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
