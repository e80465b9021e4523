"""How events become examples: rewards, histories, held-out examples, shards."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from twotower_tf.config.section import Column, Days, Natural, Positive, Section, Share


def _texts_of_keys(values):
    """Returns keys as the log has them: YAML reads some texts as numbers and booleans."""
    if not isinstance(values, dict):
        return values
    if not values:
        raise ValueError("there must be a text at least")
    return {
        str(key).lower() if isinstance(key, bool) else str(key): value
        for key, value in values.items()
    }


class Reward(Section):
    """r = clip((``column`` x ``times`` / ``divided_by`` - ``low``) / (``high`` - ``low``), 0, 1).

    ```yaml
    reward: {column: event, values: {view: 0.1, cart: 0.5, buy: 1.0}}
    reward: {column: price, times: [quantity], high: 100}
    reward: {column: rating, low: 2, high: 5}      # 1 and 2 stars: 0; 5 stars: 1
    reward: {column: watched_seconds, divided_by: duration_seconds, low: 0.1, high: 1.0}
    ```

    The reward is the example's weight in the loss (in ``mse_gramian`` the target). Events of
    reward 0 still count for histories and baselines, but are not evaluated on;
    ``negatives.explicit`` makes negatives of them. With ``min_reward`` there are no examples at
    all of events below it, which the baselines then don't see either.
    """

    column: Annotated[str, Field(title="column of the event")]
    """Watched seconds, a rating, ..."""
    values: Annotated[
        dict[str, float] | None, BeforeValidator(_texts_of_keys), Field(title="text → number")
    ] = None
    """What each text of ``column`` is worth, such as the types of events; without it the column is
    a number. Events of any other text are rejected: give those a 0."""
    times: list[Column] = Field(default_factory=list)
    """Columns of the event that the reward is multiplied by, such as a quantity."""
    divided_by: Column | None = None
    """Of the event or, where the event lacks it, of its item: a duration. Must be above 0."""
    low: float = 0.0
    """What is worth 0, and all below."""
    high: Annotated[float, Field(title="number > `low`")] = 1.0
    """What is worth 1, and all above."""

    @model_validator(mode="after")
    def _check_range(self):
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, got low={self.low}, high={self.high}")
        return self


class Duplicates(Section):
    """Which events are copies of one another: those of one user, item and second.

    A log that knows only dates has many such that are none:

    ```yaml
    duplicates: {key: [order_id]}      # two orders of one day are two events
    duplicates: {keep: all}
    ```
    """

    key: list[Column] = Field(default_factory=list)
    """Columns of the event, text or whole numbers, that must be alike too."""
    keep: Literal["first", "all"] = "first"
    """``first``: the one delivered first is kept, the others count as duplicates. ``all``: every
    one is an event of its own, one that was delivered twice too."""


class ExamplesSection(Section):
    """How a day's events become examples."""

    history_length: Positive = 50
    """The last so many items of a user are the history."""
    search_length: Positive = 50
    """The last so many queries of a user are the past searches, with ``source.searches``."""
    own_length: Natural = 500
    """Of a user's items of all the past at most so many different ones are counted, those acted on
    most: held-out examples have them, and what nominates them. 0: none are."""
    holdout_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """The share of a day's events kept from training, to evaluate on; chosen by a hash of the
    event."""
    reward: Reward | None = None
    """What an event is worth; without it every event is worth 1."""
    shards: Positive = 8
    """Files per split and day. Few for small data: each is read in turn."""
    interleave_window_seconds: Positive = 3600
    """Within a window of time, each user's events are spread evenly among those of others. Make
    it longer where people act in bursts."""
    max_per_user_and_day: Positive | None = None
    """At most so many examples of a user and day, chosen by a hash of the event, so that a few
    heavy users don't dominate. The user's other events still count in histories."""
    min_reward: Share | None = None
    """Events of a reward below this make no example, but count in histories: positives only."""
    duplicates: Duplicates = Duplicates()
    """Which events are copies, and whether they are left out."""
    late_events: Literal["reject", "keep"] = "reject"
    """With ``{date}`` in the path: what to do with an event of an earlier date than its file's.
    Kept, it becomes an event of the file's day, with its own time. Events of a later date are
    always rejected."""
    unknown_items: Literal["reject", "keep"] = "reject"
    """What to do with events on items that the catalogue lacks. Kept, they have the item
    features' defaults."""
    max_rejected_share: Share = 0.05
    """More rejected records than this share (of a day's events or searches, of a catalogue, of
    the profiles), and than ``max_rejected``, end the job."""
    max_rejected: Natural = 10
    """So many rejected records never end the job, whatever their share, unless all are."""
    unreadable_files: Literal["error", "reject"] = "error"
    """What to do with a file that can't be read, or not to its end: cut short, damaged, an error
    page in its place. ``reject``: what can be read of it is used, and all its bytes count as
    rejected, against ``max_rejected_share`` of the bytes of a day's files."""
    missing_hours: Literal["warn", "error"] = "warn"
    """With ``{hour}`` in the path: what to do with a day of which some hours have no file. With
    ``warn`` the day is built without them; the warning and the metrics name them."""
    warn_match_share: Share = 0.5
    """Where fewer of a day's seed items, items of histories (of the log) and events are of items of
    the catalogue, or fewer of its users have a profile, there is a warning."""
    max_id_bytes: Positive = 512
    """Longer user and item ids are rejected (UTF-8 bytes)."""
    normalise_ids: bool = False
    """Bring ids to Unicode's normal form NFC, so that an accent is the same whether it was written
    as one character or two: in files, and in the graph for the features of a request."""
    full_histories_every_days: Days = 14
    """How often the histories of all users are written; on the days between, only those of the
    users who acted."""


class StatisticsSection(Section):
    """The window of days that a model's statistics and built vocabularies come from.

    Every day's build measures its training examples: a sample of each ``dense`` feature (10,000
    examples, weighted as training weights them, held-out ones left out) and the ids of tables
    with ``vocabulary: {built: N}``. A model takes both at its start, and keeps them in
    checkpoints and releases.
    """

    days: Days = 7
    """The window: the last so many built days up to the first day trained on that has examples.
    Never later ones, however far the build is."""


def why_no_own_items(config) -> str | None:
    """Says why a configuration's own items are not counted; None: they are."""
    if config.source.events.columns.history is not None:
        return (
            "own items are counted with the histories, which the build does not make where the log "
            "gives them (source.events.columns.history)"
        )
    return (
        None if config.examples.own_length else "examples.own_length is 0: no own items are counted"
    )
