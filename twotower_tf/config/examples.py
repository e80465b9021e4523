"""How events become examples: rewards, histories, held-out examples, shards."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from twotower_tf.config.section import Positive, Section, Share


class Reward(Section):
    """r = clip((column / divided_by - low) / (high - low), 0, 1).

    ``divided_by`` names a column of the event or, failing that, of its item (a duration). Without
    a reward section every event has reward 1.
    """

    column: str
    divided_by: str | None = None
    low: float = 0.0
    high: float = 1.0

    @model_validator(mode="after")
    def _check_range(self):
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, got low={self.low}, high={self.high}")
        return self


class Examples(Section):
    """How a day's events become examples.

    ``late_events`` are those of an earlier date in a file of a later day (``{date}``): rejected,
    or kept as events of the file's day. Events of a reward below ``min_reward``, and those of a
    user's day beyond ``max_per_user_and_day``, make no example, but count in histories.
    ``search_length`` is of the past searches (``source.searches``) what ``history_length`` is of
    the items. Of a user's items of all the past, at most ``own_length`` different ones are counted,
    those acted on most (0: none are): held-out examples have them, and what nominates them.
    Every ``full_histories_every_days`` the histories of all users are written, and in between
    those of the users who acted.
    """

    history_length: Positive = 50
    search_length: Positive = 50
    own_length: Annotated[int, Field(ge=0)] = 500
    holdout_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    reward: Reward | None = None
    shards: Positive = 8
    interleave_window_seconds: Positive = 3600
    max_per_user_and_day: Positive | None = None
    min_reward: Share | None = None
    late_events: Literal["reject", "keep"] = "reject"
    unknown_items: Literal["reject", "keep"] = "reject"
    max_rejected_share: Share = 0.05
    max_id_bytes: Positive = 512
    full_histories_every_days: Positive = 14


class Statistics(Section):
    """The window that the model's statistics and built vocabularies come from.

    It is the last ``days`` built days up to the first day trained on that has examples. What
    comes of it is frozen into the model at its start.
    """

    days: Positive = 7
