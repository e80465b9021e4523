"""What the configuration says of each kind of feature, and which raw values each needs.

How each is encoded is told in the file of its name in ``models/features``.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from twotower_tf.config.features import BaseFeature, BuiltVocabulary, TableName
from twotower_tf.config.registries import FEATURE_KINDS, HISTORY_ENCODERS
from twotower_tf.config.registry import named
from twotower_tf.config.section import Column, NotNegative, Positive, Section, Separator, nearest
from twotower_tf.examples import value_types
from twotower_tf.examples.schema import HISTORY, SEARCHES, RawFeature
from twotower_tf.models.features.history_events import (
    asked_keys,
    check_asked,
    names_beside,
    raw_features_beside,
)


def _id_form(config) -> str:
    return value_types.NFC_ID if config.examples.normalise_ids else value_types.ID


class TableFeature(BaseFeature):
    """A feature that is looked up in one of ``tables``.

    Attributes:
        usual_table: The table that it is looked up in if none is named; None: its column's.
    """

    usual_table: ClassVar[str | None] = None

    table: TableName | None = None
    """Of [tables](#tables). Without it: ``items`` for the item's id, ``words`` for text, for all
    else a table of the column's name, or of the feature's where the column's is none; one that is
    not among them is made, with sizes by the data."""

    @property
    def is_item(self) -> bool:
        """Whether the feature names items, and the item encoder encodes them."""
        return False

    def check(self, tower, config) -> None:
        """See ``BaseFeature``."""
        if self.is_item:
            return
        if self.table not in config.tables:
            known = ", ".join(sorted(config.tables)) or "none"
            hint = nearest(self.table, config.tables)
            raise ValueError(f"table '{self.table}' is not one of tables: {known}{hint}")


class ItemFeature(TableFeature):
    """A feature of ids, which may be those of items."""

    encode: Literal["id", "item"] = "id"
    """In the query: ``id`` looks ids up in the table. ``item`` is for ids of items: the candidate
    tower encodes them, by their ids and their features in the catalogue, so that what it learns of
    an item serves both; the default of ``history`` and ``seed_item_id`` without a ``table``."""

    @property
    def is_item(self) -> bool:
        """See ``TableFeature``."""
        return self.encode == "item"

    @property
    def history_encoder(self) -> Section:
        """The section of what makes one vector of the items' vectors."""
        raise NotImplementedError

    @property
    def beside(self) -> dict[str, str]:
        """What is asked for of each item's event: raw features by field of an ``ItemSequence``."""
        return {}

    def check(self, tower, config) -> None:
        """See ``BaseFeature``."""
        super().check(tower, config)
        if not self.is_item:
            return
        if tower != "query":
            raise ValueError("encode: item is for features of the query")
        if self.table is not None:
            raise ValueError("encode: item takes no table: the candidate tower encodes the items")


@FEATURE_KINDS.made_by("twotower_tf.models.features.id:IdEncoder")
class IdFeature(ItemFeature):
    """One id, its row of the table.

    Where it is missing: the id ``""``, which has a row of its own.

    ```yaml
    - {name: seed, column: seed_item_id, kind: id, table: items}
    - {name: seed, column: seed_item_id, kind: id, encode: item}
    ```
    """

    kind: Literal["id"]

    @property
    def history_encoder(self) -> Section:
        """See ``ItemFeature``: a history of one."""
        return HISTORY_ENCODERS.parse({"kind": "sum"})

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        return [RawFeature(self.name, self.column, of, value_types.Text(form=_id_form(config)))]


class BagFeature(ItemFeature):
    """Ids of which there may be many: the last ``max_length``, of text by ``separator``.

    Attributes:
        weighted: Whether each has a weight.
    """

    weighted: ClassVar[bool] = False

    max_length: Positive | None = None
    """At most so many, the last ones. A history never has more than ``examples.history_length``."""
    separator: Separator | None = None
    """What separates ids, and weights, given as text. Without it such text is one id. For
    ``source.events.columns.history`` given as text, set it in the ``history`` feature."""

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        length = self.max_length
        if self.column == HISTORY and of == "event":
            most = config.examples.history_length
            length = min(length or most, most)
        ids = value_types.TextList(
            separator=self.separator, max_length=length, form=_id_form(config)
        )
        return [RawFeature(self.name, self.column, of, ids)]


@FEATURE_KINDS.made_by("twotower_tf.models.features.bag:BagEncoder")
class IdBagFeature(BagFeature):
    """A list of ids (a history, a set), their embeddings combined; an empty one gives zeros.

    In JSON and Parquet a list, or text with a ``separator``; in CSV text.

    ```yaml
    - {name: history, kind: id_bag, table: items}
    - {name: genres, kind: id_bag, table: words, separator: "|"}
    - {name: history, kind: id_bag, encode: item, encoder: recency}
    ```
    """

    kind: Literal["id_bag"]
    combiner: Literal["mean", "sum", "sqrtn"] = "mean"
    """Sum of the embeddings, divided by their number (mean) or its root (sqrtn)."""
    encoder: Annotated[HISTORY_ENCODERS.section, BeforeValidator(named)] = Field(
        default_factory=dict, validate_default=True
    )
    """With ``encode: item``: what makes one vector of the items' vectors. A section, or the name
    of a kind alone; [model.md](model.md#history-encoders) compares them."""

    @property
    def history_encoder(self) -> Section:
        """See ``ItemFeature``."""
        return self.encoder

    @property
    def beside(self) -> dict[str, str]:
        """See ``ItemFeature``."""
        return names_beside(self.name, self._asked)

    @property
    def _asked(self) -> list[str]:
        return asked_keys(self.encoder) if self.is_item else []

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        (ids,) = super().raw_features(of, config)
        return [ids, *raw_features_beside(ids, self._asked)]

    def check(self, tower, config) -> None:
        """See ``BaseFeature``."""
        super().check(tower, config)
        check_asked(self, self._asked, self.owner(tower), config)


@FEATURE_KINDS.made_by("twotower_tf.models.features.bag:BagEncoder")
class WeightedIdBagFeature(BagFeature):
    """Ids with weights, in two columns of the same length.

    A record where the lengths differ is rejected. In requests the weights are called
    ``<name>_weights``.

    ```yaml
    - {name: topics, kind: weighted_id_bag, table: words, weights: topic_shares}
    ```
    """

    weighted: ClassVar[bool] = True

    kind: Literal["weighted_id_bag"]
    weights: Column
    """The weights, as a list like the ids."""
    combiner: Literal["mean", "sum", "sqrtn"] = "sum"
    """Sum of weight times embedding; mean: divided by the sum of the weights; sqrtn: by the root
    of the sum of their squares."""

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
        if self.is_item:
            raise ValueError("encode: item takes no weights; use kind: id_bag")
        if self.column == HISTORY and self.owner(tower) == "event":
            raise ValueError("a history has no weights; use kind: id_bag")


@FEATURE_KINDS.made_by("twotower_tf.models.features.category:CategoryEncoder")
class CategoryFeature(BaseFeature):
    """One of few values, with a small table of its own.

    ```yaml
    - {name: device, kind: category, values: [phone, tablet, tv]}
    ```
    """

    kind: Literal["category"]
    values: list[str] = Field(default_factory=list)
    """Have a row each. All others, a missing value among them, hash into the buckets."""
    buckets: Positive = 16
    """Rows for values that are not listed."""
    dim: Positive = 8
    """Numbers per row."""

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        return [RawFeature(self.name, self.column, of, value_types.Text())]


@FEATURE_KINDS.made_by("twotower_tf.models.features.text:TextEncoder")
class TextFeature(TableFeature):
    """Lower-cased words (runs of letters, with their marks, and digits) and n-grams of neighbouring
    words, averaged.

    Text is brought to Unicode's normal form NFC inside the graph: an accent is the same however it
    was written. A record may give a list of texts: they are read one after the other.

    In the query the column ``searches`` is a list of texts, the user's last
    ``examples.search_length`` queries before the event: the mean is over the words and n-grams of
    all of them (Covington et al. 2016, section 3.3), n-grams don't go from one query to the next,
    and without a query it is zeros. Requests give the raw queries, oldest first. Name the table
    of a feature on titles, and a word means the same in both.

    ```yaml
    - {name: title, kind: text, table: words}
    - {name: searches, kind: text, table: words}
    ```
    """

    reads_searches: ClassVar[bool] = True
    usual_table: ClassVar[str] = "words"

    kind: Literal["text"]
    ngrams: Annotated[int, Field(ge=1, le=3)] = 2
    """The longest n-gram: 2 means words and pairs of words."""
    tokens: Literal["words", "characters", "auto"] = "auto"
    """What the n-grams are of: words, characters, or (``auto``) words but for the characters of
    scripts that put no spaces between words, such as Chinese, Japanese and Thai."""

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        texts = value_types.Text(form=value_types.PROSE)
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


@FEATURE_KINDS.made_by("twotower_tf.models.features.dense:DenseEncoder")
class DenseFeature(BaseFeature):
    """A number, normalised by the [statistics](#statistics) of the model's start.

    Source of ``quantile`` and ``powers``: Covington et al. 2016, section 4.1.

    ```yaml
    - {name: age, kind: dense, of: user, powers: true, default: 35}
    - {name: price, kind: dense, buckets: 20, dim: 8}
    ```
    """

    kind: Literal["dense"]
    normalise: Literal["none", "z", "quantile"] = "quantile"
    """``quantile``: its cumulative distribution, in [0, 1]. ``z``: minus the mean, over the
    standard deviation."""
    powers: bool = False
    """x² and √x beside x; with ``quantile`` only."""
    buckets: Positive | None = None
    """Look the quantile's bucket up as an embedding instead; with ``quantile`` and without
    ``powers``."""
    dim: Positive = 8
    """Of that embedding."""
    default: float = 0.0
    """Where the value is missing."""

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


@FEATURE_KINDS.made_by("twotower_tf.models.features.age:AgeEncoder")
class AgeFeature(BaseFeature):
    """Event time minus another time, as log(1 + days), at least 0.

    ```yaml
    - {name: video_age, kind: age, since: published_at}
    ```
    """

    kind: Literal["age"]
    since: Column
    """The time to subtract, of the event, user or item."""
    serving_days: NotNegative = 0.0
    """The age in days at serving, and where the time is missing."""

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        age = value_types.Age(self.serving_days, since=self.since)
        return [RawFeature(self.name, self.column, of, age)]


@FEATURE_KINDS.made_by("twotower_tf.models.features.vector:VectorEncoder")
class VectorFeature(BaseFeature):
    """Numbers of a fixed length, such as a pretrained embedding of a title or a picture.

    In JSON and Parquet a list, or text with a ``separator``. (Parquet's lists of a fixed size will
    do, if none is missing: Arrow can't read such a file.) A vector that is missing or empty is
    zeros; one of another length, or with a number that is not finite, is rejected with its record.

    ```yaml
    - {name: title_embedding, kind: vector, length: 384, projection: 32, normalise: true}
    ```
    """

    kind: Literal["vector"]
    length: Positive
    """How many numbers it has."""
    projection: Positive | None = None
    """Multiply it by a learnt matrix, to so many numbers. Without it the numbers go into the tower
    as they are."""
    normalise: bool = False
    """Divide it by its L2 norm before."""
    default: Literal["zeros"] = "zeros"
    """What a missing one is."""
    separator: Separator | None = None
    """What separates numbers given as text."""

    def raw_features(self, of, config) -> list[RawFeature]:
        """See ``BaseFeature``."""
        vector = value_types.Vector(self.length, self.separator)
        return [RawFeature(self.name, self.column, of, vector)]
