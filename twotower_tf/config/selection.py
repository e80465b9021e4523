"""Which items of the catalogue are recommended, and how they are embedded."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from twotower_tf.config.section import (
    Days,
    Natural,
    NotNegative,
    Positive,
    Section,
    Share,
    nearest,
)

_File = Annotated[str, Field(title="file")]
_Feature = Annotated[str, Field(title="feature")]


class SelectionSection(Section):
    """Which items of the catalogue are embedded and indexed.

    Without this section all are that are published by the end of the day. The rules apply in this
    order; [candidates.md](candidates.md) has examples and what is reported. Files are found from
    the folder the job is started in. Rules by age need ``source.items.columns.published_at``.
    """

    deny: _File | None = None
    """An item id a line: these are never recommended. No other rule can bring them back."""
    allow: _File | None = None
    """An item id a line: only these are."""
    unknown_age: Literal["keep", "drop"] = "keep"
    """Of items without a time of publication. Kept, they pass both limits of age."""
    min_age_days: NotNegative = 0.0
    """Since publication, at the end of the day; may be a fraction."""
    max_age_days: NotNegative | None = None
    """As above."""
    required: Annotated[list[str], Field(title="list of features")] = Field(default_factory=list)
    """Features of the candidate that may not be empty. Not ``dense`` ones, which have a default."""
    min_examples: Natural = 0
    """Training examples of the item in the window of ``engagement_days``."""
    engagement_days: Days = 7
    """The last so many days, the day itself included."""
    channel: _Feature | None = None
    """The feature of the candidate that ``max_per_channel`` goes by: an ``id``, ``category`` or
    ``text``."""
    max_per_channel: Positive | None = None
    """At most so many items with the same ``channel``. Items without one are not limited."""
    channel_keeps: Literal["most_engaged", "newest"] = "most_engaged"
    """Which of a channel's items stay; equal ones by the other of the two."""
    always_hours: NotNegative = 0.0
    """Uploads of the last so many hours need no engagement and no room in their channel. The
    rules before these two hold for them too."""
    coverage_days: Days = 7
    """The window of ``gates.min_coverage``."""
    max_broken_share: Share = 0.05
    """Items whose vectors are not finite are left out; if they are more than this share, the job
    fails."""

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


class EmbeddingSection(Section):
    """How the catalogue is embedded."""

    batch_size: Positive = 1024
    """Items embedded at a time. The last bits of a vector may depend on it."""
    beam_from_items: Positive = 1_000_000
    """With options for Beam after ``--``, a Beam job embeds catalogues of so many items or more.
    Without such options the job's own process embeds any catalogue."""


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
