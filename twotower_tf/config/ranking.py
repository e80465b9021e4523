"""The second stage: ranking what was nominated by expected watch time."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from twotower_tf.config.nominators import INDEX
from twotower_tf.config.registries import BOTTOMS, OPTIMIZERS
from twotower_tf.config.registry import named
from twotower_tf.config.section import NotNegative, Positive, Section, nearest
from twotower_tf.config.times import TimeZone
from twotower_tf.config.training import Training

HISTORY = "history"


class Head(Section):
    """Something that the ranking model predicts."""

    weight: NotNegative = 1.0
    """Of its logarithm in the score that items are put in order by: the score is the product of
    what the heads predict, each to the power of its weight. 0: it is learnt, but decides
    nothing."""
    loss: Annotated[float, Field(gt=0.0)] = 1.0
    """Of its loss, beside the other's."""


class Heads(Section):
    """What the ranking model predicts of an impression.

    ```yaml
    ranking:
      heads: {click: {weight: 0.5}}
    ```
    """

    watch_time: Head = Head()
    """The expected watch time, in seconds (Covington et al. 2016, 4.2)."""
    click: Head | None = None
    """The probability of a click; without a section it is not learnt."""

    @model_validator(mode="after")
    def _check_weights(self):
        if not self.watch_time.weight and not (self.click and self.click.weight):
            raise ValueError("at least one head needs a weight above 0, to put items in order by")
        return self


class Ranking(Section):
    """A model that ranks what was nominated, trained on impressions (Covington et al. 2016, 4).

    It sees what the towers see, and what is known of the user and the item together: how often the
    user watched things like it, how often it was shown and nothing came of it, what nominated it.
    It learns from ``source.impressions``, and needs a list of the column ``history`` among the
    query's features.

    ```yaml
    ranking: {likes: [channel_id], layers: [256, 128]}
    ```
    """

    likes: list[str] = Field(default_factory=list)
    """Features of the candidate of one id or category, such as its channel: how often, how long ago
    and for how long the user watched items of the same one, and was shown some in vain."""
    shown_length: Positive = 100
    """The last so many impressions of a user count as shown before."""
    churn: bool = True
    """Whether it sees how often the item, and items like it, were shown and nothing came of it."""
    time_zone: TimeZone | None = None
    """The users' time zone, for the hour of the day and the day of the week. Without it the model
    sees neither."""
    negatives_per_positive: Annotated[float | None, Field(gt=0.0)] = None
    """Of a day's impressions that nothing came of, so many are trained on for each clicked one,
    chosen by a hash, with the weight that undoes it. Without it all are."""
    max_per_user_and_day: Positive | None = None
    """At most so many impressions of a user and day, clicked or not, chosen by a hash, so that a
    few heavy users don't dominate."""
    overlong: Literal["cap", "keep", "reject"] = "cap"
    """What becomes of an impression that was watched for longer than its item lasts, where that is
    known: ``examples.reward.divided_by``, if the reward is of the watched seconds. ``reject``
    needs an impression log that tells them itself."""
    layers: list[Positive] = Field(default_factory=lambda: [256, 128])
    """Widths of the ReLU layers; ``[]``: none."""
    powers: bool = True
    """Whether x^2 and sqrt(x) stand beside each number x."""
    bottom: Annotated[BOTTOMS.section, BeforeValidator(named)] = Field(
        default_factory=dict, validate_default=True
    )
    """What the heads have in common: a section, or the name of a kind alone."""
    heads: Heads = Heads()
    """What is predicted."""
    weight_by_watch_time: bool = True
    """Whether a clicked impression weighs as many seconds as it was watched. Without it each weighs
    one: the score is then the odds of a click, and no watch time."""
    optimizer: OPTIMIZERS.section = Field(default_factory=dict, validate_default=True)
    """Which Keras optimiser."""
    training: Training = Training()
    """The sequential protocol, as of retrieval."""
    candidates: Positive = 500
    """How many of what the nominators propose are ranked for a request."""


def towers_alone(config):
    """Returns a deployment of two towers and an index, without what else proposes and ranks."""
    source = config.source.model_copy(update={"impressions": None})
    index = [section for section in config.nominators if section.kind == INDEX]
    return config.model_copy(update={"ranking": None, "source": source, "nominators": index})


def knows_length(config) -> bool:
    """Says whether a configuration knows how long items last: what divides the watched seconds."""
    reward, source = config.examples.reward, config.source
    watched = {source.events.columns.dwell}
    if source.impressions is not None:
        watched.add(source.impressions.columns.watched_seconds)
    return reward is not None and reward.divided_by is not None and reward.column in watched


def check_ranking(config) -> None:
    """Checks ``ranking`` against the rest of a ``Config``.

    Raises:
        ValueError: If it does not fit; says why.
    """
    section, source = config.ranking, config.source
    if section is None:
        if source.impressions is not None:
            raise ValueError(
                "source.impressions: nothing learns from them without ranking; add a section "
                "ranking, which may be {}, or leave them out"
            )
        return
    if source.impressions is None:
        raise ValueError(
            "ranking: it learns from impressions: say where they are, as source.impressions"
        )
    if not section.layers and section.bottom.needs_layers:
        raise ValueError(f"ranking.layers: the bottom '{section.bottom.kind}' needs at least one")
    for key in ("retrain", "backfill"):
        given = getattr(section.training, key)
        if given is not None and (key == "retrain" or given.patience is not None):
            raise ValueError(
                f"ranking.training.{key}: the ranking model is trained day after day, after a "
                "backfill if there is one; it takes neither retrain nor patience"
            )
    columns = source.events.columns
    if not source.impressions.tells_outcome and columns.dwell is None:
        raise ValueError(
            "ranking: clicks are joined from the events, which must say how long each was watched: "
            "source.events.columns.dwell; or give source.impressions.columns.watched_seconds"
        )
    if columns.history is not None:
        raise ValueError(
            "ranking: it needs histories that the build makes, not the log "
            "(source.events.columns.history)"
        )
    if section.overlong == "reject" and not (
        knows_length(config) and source.impressions.tells_outcome
    ):
        raise ValueError(
            "ranking.overlong: reject needs source.impressions.columns.watched_seconds, and "
            "examples.reward of the watched seconds, divided_by how long an item lasts"
        )
    query = (
        feature.raw_features(feature.owner("query"), config) for feature in config.query.features
    )
    if not any(raw.filled_in == HISTORY and raw.type.is_list for one in query for raw in one):
        raise ValueError(
            "ranking: the query needs a list of what the user watched, such as "
            "{name: history, kind: id_bag}"
        )
    _check_inputs(config)
    _check_likes(config)


def _check_inputs(config) -> None:
    """Checks that what a request brings for ranking has names that are free."""
    raws = [
        raw
        for feature in config.query.features
        for raw in feature.raw_features(feature.owner("query"), config)
    ]
    history = next(raw.name for raw in raws if raw.filled_in == HISTORY and raw.type.is_list)
    taken = {"shown_item_ids", "shown_days", "shown_clicked"}
    taken |= {"hour", "weekday"} if config.ranking.time_zone is not None else set()
    taken |= {"surface"} if config.source.impressions.columns.surface is not None else set()
    filled_in = {f"{history}_days": "history_days", f"{history}_dwell": "history_dwell"}
    for raw in raws:
        same = filled_in.get(raw.name)
        if raw.name in taken or (same is not None and raw.filled_in != same):
            raise ValueError(
                f"ranking: it has an input called '{raw.name}', as a feature of the query has; "
                f"choose another name for that, and say column: {raw.column}"
            )


def _check_likes(config) -> None:
    known = {feature.name: feature for feature in config.candidate.features}
    for number, name in enumerate(config.ranking.likes):
        if name not in known or name in config.ranking.likes[:number]:
            raise ValueError(
                f"ranking.likes: '{name}' must be one of the candidate's features, each once: "
                f"{', '.join(known)}{nearest(name, known)}"
            )
        (raw, *others) = known[name].raw_features("item", config)
        if others or raw.type.is_list or not raw.type.holds_text:
            raise ValueError(
                f"ranking.likes: '{name}' must be of kind id or category: an item has one of them"
            )
