"""Which items of the catalogue are recommended, and how they are embedded."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from twotower_tf.config.section import Positive, Section, Share, nearest

_NotNegative = Annotated[float, Field(ge=0.0)]


class Selection(Section):
    """The rules by which the index's items are chosen from the catalogue, in the order they apply.

    ``deny``, ``allow``: files with an item id a line. ``min_age_days``, ``max_age_days``: since
    ``published_at``, at the end of the day; ``unknown_age``: of items without it.
    ``required``: features of the candidate that may not be empty. ``min_examples``: training
    examples of the item in the last ``engagement_days`` days. ``max_per_channel``: items with the
    same value of the feature ``channel``; ``channel_keeps`` says which. ``always_hours``: items
    published in the last so many hours need no engagement, and no channel is too full for them.

    ``coverage_days``: the window of ``gates.min_coverage``. ``max_broken_share``: how many
    of the items may have vectors that are not finite, and so be left out.
    """

    deny: str | None = None
    allow: str | None = None
    min_age_days: _NotNegative = 0.0
    max_age_days: _NotNegative | None = None
    unknown_age: Literal["keep", "drop"] = "keep"
    required: list[str] = Field(default_factory=list)
    min_examples: Annotated[int, Field(ge=0, strict=True)] = 0
    engagement_days: Positive = 7
    channel: str | None = None
    max_per_channel: Positive | None = None
    channel_keeps: Literal["most_engaged", "newest"] = "most_engaged"
    always_hours: _NotNegative = 0.0
    coverage_days: Positive = 7
    max_broken_share: Share = 0.05

    @model_validator(mode="after")
    def _check_rules(self):
        if (self.channel is None) != (self.max_per_channel is None):
            raise ValueError("channel and max_per_channel go together: give both, or neither")
        if self.max_age_days is not None and self.max_age_days < self.min_age_days:
            raise ValueError(
                "max_age_days must be at least min_age_days, "
                f"got {self.max_age_days:g} and {self.min_age_days:g}"
            )
        if 0 < self.always_hours <= 24 * self.min_age_days:
            raise ValueError(
                "always_hours must reach past min_age_days, or there is no item it could bring in, "
                f"got {self.always_hours:g} hours and {self.min_age_days:g} days"
            )
        return self

    @property
    def uses_age(self) -> bool:
        """Whether a rule asks when items were published."""
        asked = self.min_age_days or self.max_age_days is not None or self.always_hours
        by_newest = self.channel is not None and self.channel_keeps == "newest"
        return bool(asked or by_newest or self.unknown_age == "drop")


class Embedding(Section):
    """How the catalogue is embedded: rows at a time, and from how many items on by Beam.

    Without options for Beam after ``--`` the job's own process embeds catalogues of any size.
    """

    batch_size: Positive = 1024
    beam_from_items: Positive = 1_000_000


def check_selection(config) -> None:
    """Checks a configuration's selection against its source and its candidate's features.

    Raises:
        ValueError: If a rule asks for what the catalogue doesn't have; names the key.
    """
    selection = config.selection
    if selection.uses_age and config.source.items.columns.published_at is None:
        raise ValueError("selection: rules by age need source.items.columns.published_at")
    features = {feature.name: feature for feature in config.candidate.features}
    named = [("channel", selection.channel)] if selection.channel is not None else []
    for key, name in named + [("required", name) for name in selection.required]:
        if name not in features:
            known = ", ".join(features)
            raise ValueError(
                f"selection.{key}: '{name}' is not one of candidate.features: {known}"
                f"{nearest(name, features)}"
            )
        kind = features[name].kind
        raw, *_ = features[name].raw_features("item", config)
        if key == "required" and not raw.type.can_be_empty:
            # The catalogue holds its default where it was missing.
            raise ValueError(f"selection.required: '{name}' is {kind}, which is never empty")
        if key == "channel" and (raw.type.is_list or not raw.type.holds_text):
            raise ValueError(
                f"selection.channel: '{name}' must hold one text an item, as of kind id, category "
                f"or text, got {kind}"
            )
