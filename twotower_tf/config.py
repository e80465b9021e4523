"""The typed configuration: what a YAML file may say, and what each key means.

Every class refuses unknown keys and suggests the nearest known one. ``config_loader`` reads a
file into these classes and words the errors.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from twotower_tf.config_losses import CorrectedSoftmaxLoss, Loss
from twotower_tf.config_section import Name, Positive, Section, Separator, Share, nearest

# --- where events come from -------------------------------------------------------------------


class EventColumns(Section):
    """Which column of the event files holds what.

    ``history``, when named, is the list of item ids acted on before the event as the log gives it
    (a click path, say); otherwise the build makes the histories from the events themselves.
    """

    user_id: str = "user_id"
    item_id: str = "item_id"
    timestamp: str = "timestamp"
    seed_item_id: str | None = None
    history: str | None = None


class ItemColumns(Section):
    """Which column of the catalogue holds what; ``title`` is only shown to people."""

    item_id: str = "item_id"
    published_at: str | None = None
    title: str | None = None


class UserColumns(Section):
    """Which column of the user profiles holds what."""

    user_id: str = "user_id"


Format = Literal[
    "auto", "csv", "tsv", "jsonl", "parquet", "wikispeedia_paths", "wikispeedia_articles"
]
TimeUnit = Literal["seconds", "milliseconds", "iso8601"]


class Files(Section):
    """A set of files below ``--source``: one file, a glob, or one folder a day (``{date}``).

    ``path`` may contain ``{date}``, which stands for a day as YYYY-MM-DD. Files end in ``.csv``,
    ``.tsv``, ``.jsonl``, ``.json`` or ``.parquet`` (the first four also with ``.gz``), or
    ``format`` says what they are.
    """

    path: str
    format: Format = "auto"
    timestamp_unit: TimeUnit = "seconds"


class EventFiles(Files):
    """The event log."""

    columns: EventColumns = EventColumns()


class ItemFiles(Files):
    """The item catalogue; with ``{date}`` in the path, a snapshot a day."""

    columns: ItemColumns = ItemColumns()


class UserFiles(Files):
    """The user profiles."""

    columns: UserColumns = UserColumns()


class Source(Section):
    """Where events, items and user profiles are, and where to get them if they are missing."""

    events: EventFiles
    items: ItemFiles
    users: UserFiles | None = None
    homepage: str | None = None


# --- events to examples -----------------------------------------------------------------------


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
    """How a day's events become examples."""

    history_length: Positive = 50
    holdout_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    reward: Reward | None = None
    shards: Positive = 8
    interleave_window_seconds: Positive = 3600
    unknown_items: Literal["reject", "keep"] = "reject"
    max_rejected_share: Share = 0.05
    max_id_bytes: Positive = 512


# --- features and towers ----------------------------------------------------------------------


class Table(Section):
    """An embedding table: ids hash into ``buckets`` rows of ``dim`` numbers.

    With ``vocabulary`` (a file, an id a line) the listed ids have a row each, and the buckets
    take the rest.
    """

    buckets: Positive
    dim: Positive
    vocabulary: str | None = None


class BaseFeature(Section):
    """What all features have: a name, the column it is read from, and whose column that is."""

    name: Name
    column: Annotated[str, Field(min_length=1)] = ""
    of: Literal["event", "user", "item"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_column(cls, values):
        if isinstance(values, dict) and "name" in values:
            values = {"column": values["name"], **values}
        return values


class IdFeature(BaseFeature):
    """One id, looked up in ``table``."""

    kind: Literal["id"]
    table: str


class IdBagFeature(BaseFeature):
    """A history or a set of ids: their embeddings combined. A list, or text with ``separator``."""

    kind: Literal["id_bag"]
    table: str
    combiner: Literal["mean", "sum", "sqrtn"] = "mean"
    max_length: Positive | None = None
    separator: Separator | None = None


class WeightedIdBagFeature(BaseFeature):
    """Ids with weights (the column ``weights``): the weighted sum of their embeddings."""

    kind: Literal["weighted_id_bag"]
    table: str
    weights: str
    combiner: Literal["mean", "sum", "sqrtn"] = "sum"
    max_length: Positive | None = None
    separator: Separator | None = None


class CategoryFeature(BaseFeature):
    """One of few values, with a small table of its own; unlisted values share hash buckets."""

    kind: Literal["category"]
    values: list[str] = Field(default_factory=list)
    buckets: Positive = 16
    dim: Positive = 8


class TextFeature(BaseFeature):
    """Text as its lower-cased words and word n-grams, their embeddings averaged."""

    kind: Literal["text"]
    table: str
    ngrams: Annotated[int, Field(ge=1, le=3)] = 2


class DenseFeature(BaseFeature):
    """A number, normalised by statistics of the first day trained on, then frozen.

    ``quantile`` maps through the cumulative distribution to [0, 1]; ``powers`` adds x^2 and
    sqrt(x) (Covington et al. 2016, section 4.1); ``buckets`` looks x up as an embedding instead.
    """

    kind: Literal["dense"]
    normalise: Literal["none", "z", "quantile"] = "quantile"
    powers: bool = False
    buckets: Positive | None = None
    dim: Positive = 8
    default: float = 0.0

    @model_validator(mode="after")
    def _check_combination(self):
        if self.normalise != "quantile" and (self.powers or self.buckets):
            raise ValueError("powers and buckets need normalise: quantile (a number in [0, 1])")
        if self.powers and self.buckets:
            raise ValueError("choose one of powers and buckets")
        return self


class AgeFeature(BaseFeature):
    """Event time minus the time in ``since``, as log(1 + days); ``serving_days`` at serving."""

    kind: Literal["age"]
    since: str
    serving_days: Annotated[float, Field(ge=0.0)] = 0.0


Feature = Annotated[
    IdFeature
    | IdBagFeature
    | WeightedIdBagFeature
    | CategoryFeature
    | TextFeature
    | DenseFeature
    | AgeFeature,
    Field(discriminator="kind"),
]


class Tower(Section):
    """An encoder: its features, then fully connected layers; the last is the embedding's size."""

    features: Annotated[list[Feature], Field(min_length=1)]
    layers: Annotated[list[Positive], Field(min_length=1)]

    @field_validator("features")
    @classmethod
    def _names_once(cls, features):
        names = [feature.name for feature in features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"feature names must differ, but these come twice: {', '.join(twice)}")
        return features


# --- model, training, evaluation, index -------------------------------------------------------


class Estimator(Section):
    """The streaming frequency estimator: size H, m hash functions, rate alpha, first gap.

    ``kind``: ``adaptive`` is ours, ``paper`` the algorithms of the paper to the letter; see
    docs/estimator.md.
    """

    kind: Literal["adaptive", "paper"] = "adaptive"
    buckets: Positive = 1_000_000
    hashes: Annotated[int, Field(ge=1, le=16)] = 1
    alpha: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01
    initial_gap: Annotated[float, Field(ge=1.0)] = 100.0


class Optimizer(Section):
    """Which Keras optimiser, and its learning rate.

    ``initial_accumulator`` is where Adagrad's sums of squared gradients start. The loss is a mean
    over the batch, so an embedding's gradients are of the order of 1 / batch: at the 0.1 that is
    usual elsewhere, rows that are seen a few times hardly move.
    """

    kind: Literal["adagrad", "adam", "sgd"] = "adagrad"
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.05
    initial_accumulator: Annotated[float, Field(ge=0.0)] = 1e-6


class Training(Section):
    """The sequential protocol: each day once, in order, in batches, never shuffled."""

    batch_size: Positive = 1024
    keep_checkpoints: Positive = 3
    tensorboard: bool = True


class Evaluation(Section):
    """Recall, NDCG at ``at``; baselines count the last ``baseline_days`` days."""

    at: list[Positive] = Field(default=[10, 50, 100], min_length=1)
    batch_size: Positive = 512
    baseline_days: Positive = 7

    @field_validator("at")
    @classmethod
    def _ascending(cls, at):
        if at != sorted(set(at)):
            raise ValueError(f"must be ascending, each once, got {at}")
        return at


class Index(Section):
    """The index: its kind, and how its recall against exact search is measured."""

    kind: Literal["auto", "brute_force", "scann"] = "auto"
    brute_force_below: Positive = 20_000
    default_k: Positive = 100
    recall_at: Positive = 100
    recall_queries: Positive = 500


class Gates(Section):
    """What a release must reach; one that fails publishes nothing.

    ``min_recall_ratio``: recall of the day's held-out examples at ``recall_at`` over that of the
    last release. ``min_index_recall``: the index against exact search.
    """

    min_examples: Annotated[int, Field(ge=0)] = 1
    recall_at: Positive | None = None
    min_recall_ratio: Annotated[float, Field(ge=0.0)] = 0.5
    min_index_recall: Share = 0.9


class Config(Section):
    """One deployment: its data, its model and what a release must reach."""

    name: Name
    seed: Annotated[int, Field(ge=0)] = 17
    source: Source
    examples: Examples = Examples()
    tables: dict[Name, Table] = Field(default_factory=dict)
    query: Tower
    candidate: Tower
    loss: Loss = CorrectedSoftmaxLoss()
    estimator: Estimator = Estimator()
    optimizer: Optimizer = Optimizer()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    index: Index = Index()
    gates: Gates = Gates()

    @model_validator(mode="after")
    def _check_references(self):
        for tower_name, tower in (("query", self.query), ("candidate", self.candidate)):
            for number, feature in enumerate(tower.features):
                where = f"{tower_name}.features[{number}] ({feature.name})"
                _check_feature(where, feature, tower_name, self)
        if self.query.layers[-1] != self.candidate.layers[-1]:
            raise ValueError(
                "query.layers and candidate.layers must end in the same size, got "
                f"{self.query.layers[-1]} and {self.candidate.layers[-1]}"
            )
        if self.gates.recall_at is not None and self.gates.recall_at not in self.evaluation.at:
            raise ValueError(
                f"gates.recall_at must be one of evaluation.at {self.evaluation.at}, "
                f"got {self.gates.recall_at}"
            )
        return self


def _check_feature(where: str, feature, tower: str, config: Config) -> None:
    table = getattr(feature, "table", None)
    if table is not None and table not in config.tables:
        known = ", ".join(sorted(config.tables)) or "none"
        raise ValueError(
            f"{where}: table '{table}' is not one of tables: {known}{nearest(table, config.tables)}"
        )
    allowed = ("event", "user") if tower == "query" else ("item",)
    if feature.of is not None and feature.of not in allowed:
        raise ValueError(f"{where}: 'of' must be one of {', '.join(allowed)}, got '{feature.of}'")
    if feature.of == "user" and config.source.users is None:
        raise ValueError(f"{where}: 'of: user' needs source.users")
    seeded = config.source.events.columns.seed_item_id is not None
    if feature.column == "seed_item_id" and not seeded and tower == "query":
        raise ValueError(f"{where}: a seed needs source.events.columns.seed_item_id")
    if feature.kind == "weighted_id_bag":
        weights = f"{feature.name}_weights"
        if any(other.name == weights for other in getattr(config, tower).features):
            raise ValueError(f"{where}: its weights are called '{weights}', as another feature is")
        if feature.column == "history" and tower == "query":
            raise ValueError(f"{where}: a history has no weights; use kind: id_bag")
    if not math.isfinite(getattr(feature, "default", 0.0)):
        raise ValueError(f"{where}: default must be finite")
