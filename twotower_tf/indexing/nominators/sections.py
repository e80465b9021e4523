"""What the configuration says of each kind of nominator; docs/nominators.md tells when which."""

from typing import ClassVar, Literal

from pydantic import Field

from twotower_tf.config.examples import why_no_own_items
from twotower_tf.config.nominators import NominatorSection
from twotower_tf.config.registries import NOMINATORS
from twotower_tf.config.section import Days, Natural, Positive


@NOMINATORS.made_by("twotower_tf.indexing.nominators.nominator:nothing_beside")
class IndexNominatorSection(NominatorSection):
    """The items whose vectors are nearest to the query's. It is always one of the nominators."""

    kind: Literal["index"] = "index"


@NOMINATORS.made_by("twotower_tf.indexing.nominators.own_items:OwnItems")
class OwnItemsSection(NominatorSection):
    """What the user acted on before, by how often and how long ago: where repeats are normal.

    A request then brings the user's own items (``own_item_ids``, ``own_counts``, ``own_days``).
    It needs ``examples.own_length``, and histories that the build makes.
    """

    inputs: ClassVar[tuple[str, ...]] = ("own_item_ids", "own_counts", "own_days")
    kind: Literal["own_items"] = "own_items"
    popularity_days: list[Days] = Field(default=[])
    """How often all users acted on an own item in the last so many days counts too, a weight for
    each of these: where what is on offer changes, such as ``[1, 7, 28]``. ``popular`` then says
    nothing of own items."""

    @property
    def window_days(self) -> int:
        """See ``NominatorSection``."""
        return max(self.popularity_days, default=0)

    def check(self, config) -> None:
        """See ``NominatorSection``."""
        why_not = why_no_own_items(config)
        if why_not is not None:
            raise ValueError(why_not)
        _check_windows("popularity_days", self.popularity_days)


@NOMINATORS.made_by("twotower_tf.indexing.nominators.popular:Popular")
class PopularSection(NominatorSection):
    """The items most acted on in the last days, for everybody the same."""

    kind: Literal["popular"] = "popular"
    days: list[Days] = Field(default=[1, 7, 28])
    """How often an item was acted on in the last so many days, a weight for each of these."""
    items: Positive = 500
    """So many of them, at most."""

    @property
    def window_days(self) -> int:
        """See ``NominatorSection``."""
        return max(self.days, default=0)

    def check(self, config) -> None:
        """See ``NominatorSection``."""
        if not self.days:
            raise ValueError("days: it needs at least one number of days")
        _check_windows("days", self.days)


@NOMINATORS.made_by("twotower_tf.indexing.nominators.co_visitation:CoVisitation")
class CoVisitationSection(NominatorSection):
    """The items most often acted on after the seed item, and after the last items.

    It needs a feature of the query that has one of these: ``seed_item_id`` or ``history``.
    """

    kind: Literal["co_visitation"] = "co_visitation"
    days: Days = 28
    """How often that was in the last so many days."""
    items: Positive = 50
    """So many of each item, at most: eight bytes each in a release."""
    last: Natural = 3
    """The last items of the history that are looked up, beside the seed item."""

    @property
    def window_days(self) -> int:
        """See ``NominatorSection``."""
        return self.days

    def check(self, config) -> None:
        """See ``NominatorSection``."""
        columns = {feature.column for feature in config.query.features}
        if not columns & {"seed_item_id", "history"}:
            raise ValueError("it needs a feature of the query of column seed_item_id or history")


@NOMINATORS.made_by("twotower_tf.indexing.nominators.fresh:Fresh")
class FreshSection(NominatorSection):
    """The items published last, for everybody the same. It needs ``published_at`` of the items."""

    kind: Literal["fresh"] = "fresh"
    days: Days = 7
    """Those that are at most so many days old at the end of the day of the release."""
    items: Positive = 100
    """So many of them, the newest."""

    def check(self, config) -> None:
        """See ``NominatorSection``."""
        if config.source.items.columns.published_at is None:
            raise ValueError("it needs source.items.columns.published_at")


def _check_windows(key: str, days: list[int]) -> None:
    if len(set(days)) < len(days):
        raise ValueError(f"{key}: each number of days may come once, got {days}")
