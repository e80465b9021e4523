"""What the configuration says of each kind of feature, and which raw values each needs.

How each is encoded is told in the file of its name in ``models/features``.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from twotower_tf.config.features import BaseFeature, BuiltVocabulary
from twotower_tf.config.registries import FEATURE_KINDS
from twotower_tf.config.section import Positive, Separator, nearest
from twotower_tf.examples import value_types
from twotower_tf.examples.schema import HISTORY, SEARCHES, RawFeature


class TableFeature(BaseFeature):
    """A feature that is looked up in one of ``tables``."""

    table: str

    def check(self, tower, config) -> None:
        """See ``BaseFeature``."""
        if self.table not in config.tables:
            known = ", ".join(sorted(config.tables)) or "none"
            hint = nearest(self.table, config.tables)
            raise ValueError(f"table '{self.table}' is not one of tables: {known}{hint}")


class IdFeature(TableFeature):
    """One id, looked up in ``table``."""

    kind: Literal["id"]

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        return [RawFeature(self.name, self.column, of, value_types.Text())]


class BagFeature(TableFeature):
    """Ids of which there may be many: the last ``max_length``, of text by ``separator``.

    Attributes:
        weighted: Whether each has a weight.
    """

    weighted: ClassVar[bool] = False

    max_length: Positive | None = None
    separator: Separator | None = None

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        length = self.max_length
        if self.column == HISTORY and of == "event":
            most = config.examples.history_length
            length = min(length or most, most)
        ids = value_types.TextList(separator=self.separator, max_length=length)
        return [RawFeature(self.name, self.column, of, ids)]


class IdBagFeature(BagFeature):
    """A history or a set of ids: their embeddings combined. A list, or text with ``separator``."""

    kind: Literal["id_bag"]
    combiner: Literal["mean", "sum", "sqrtn"] = "mean"


class WeightedIdBagFeature(BagFeature):
    """Ids with weights (the column ``weights``): the weighted sum of their embeddings."""

    weighted: ClassVar[bool] = True

    kind: Literal["weighted_id_bag"]
    weights: str
    combiner: Literal["mean", "sum", "sqrtn"] = "sum"

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        weights = value_types.Weights(
            separator=self.separator, max_length=self.max_length, weighs=self.name
        )
        ids = super().raw_features(of, config)
        return [*ids, RawFeature(f"{self.name}_weights", self.weights, of, weights)]

    def check(self, tower, config) -> None:
        """See ``BaseFeature``."""
        super().check(tower, config)
        if self.column == HISTORY and self.owner(tower) == "event":
            raise ValueError("a history has no weights; use kind: id_bag")


class CategoryFeature(BaseFeature):
    """One of few values, with a small table of its own; unlisted values share hash buckets."""

    kind: Literal["category"]
    values: list[str] = Field(default_factory=list)
    buckets: Positive = 16
    dim: Positive = 8

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        return [RawFeature(self.name, self.column, of, value_types.Text())]


class TextFeature(TableFeature):
    """Text as its lower-cased words and word n-grams, their embeddings averaged.

    Of the query's column ``searches`` it is a list of texts, the user's past searches, averaged
    over the words and n-grams of all of them (Covington et al. 2016, section 3.3).
    """

    reads_searches: ClassVar[bool] = True

    kind: Literal["text"]
    ngrams: Annotated[int, Field(ge=1, le=3)] = 2

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        texts = value_types.Text()
        if self.column == SEARCHES and of == "event":
            texts = value_types.TextList(max_length=config.examples.search_length)
        return [RawFeature(self.name, self.column, of, texts)]

    def check(self, tower, config) -> None:
        """See ``BaseFeature``."""
        super().check(tower, config)
        if isinstance(config.tables[self.table].vocabulary, BuiltVocabulary):
            raise ValueError(
                f"the vocabulary of table '{self.table}' is built of ids, not of words; give words "
                "a table of their own"
            )


class DenseFeature(BaseFeature):
    """A number, normalised by statistics of the window (``statistics.days``), then frozen.

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

    @property
    def needs_statistics(self) -> bool:
        """See ``BaseFeature``."""
        return self.normalise != "none"

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        return [RawFeature(self.name, self.column, of, value_types.Number(self.default))]


class AgeFeature(BaseFeature):
    """Event time minus the time in ``since``, as log(1 + days); ``serving_days`` at serving."""

    kind: Literal["age"]
    since: str
    serving_days: Annotated[float, Field(ge=0.0)] = 0.0

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        age = value_types.Age(self.serving_days, since=self.since)
        return [RawFeature(self.name, self.column, of, age)]


class VectorFeature(BaseFeature):
    """``length`` numbers, such as a pretrained embedding; zeros where they are missing.

    They are taken as they are, with ``normalise`` divided by their L2 norm, with ``projection``
    multiplied by a learnt matrix. A list, or text with ``separator``.
    """

    kind: Literal["vector"]
    length: Positive
    projection: Positive | None = None
    normalise: bool = False
    default: Literal["zeros"] = "zeros"
    separator: Separator | None = None

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        vector = value_types.Vector(self.length, self.separator)
        return [RawFeature(self.name, self.column, of, vector)]


FEATURE_KINDS.add(IdFeature, "twotower_tf.models.features.id:IdEncoder")
FEATURE_KINDS.add(IdBagFeature, "twotower_tf.models.features.bag:BagEncoder")
FEATURE_KINDS.add(WeightedIdBagFeature, "twotower_tf.models.features.bag:BagEncoder")
FEATURE_KINDS.add(CategoryFeature, "twotower_tf.models.features.category:CategoryEncoder")
FEATURE_KINDS.add(TextFeature, "twotower_tf.models.features.text:TextEncoder")
FEATURE_KINDS.add(DenseFeature, "twotower_tf.models.features.dense:DenseEncoder")
FEATURE_KINDS.add(AgeFeature, "twotower_tf.models.features.age:AgeEncoder")
FEATURE_KINDS.add(VectorFeature, "twotower_tf.models.features.vector:VectorEncoder")
