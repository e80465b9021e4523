"""Features and embedding tables."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from twotower_tf.config.section import Column, Name, NotNegative, Positive, Section, Separator


class BuiltVocabulary(Section):
    """The ids that are in the most training examples of the window get a row each.

    The window is that of [statistics](#statistics). Ids of features that name the table are
    counted; of a history it is the event's own item. Words of a ``text`` feature can't be counted
    so.
    """

    built: Positive
    """How many. Rows are kept for as many, even where there are fewer."""


def _kind_of_vocabulary(value) -> str:
    return "built" if isinstance(value, dict | BuiltVocabulary) else "file"


Vocabulary = Annotated[
    Annotated[str, Tag("file")] | Annotated[BuiltVocabulary, Tag("built")],
    Discriminator(_kind_of_vocabulary),
]


TableName = Annotated[str, Field(title="name of a table")]


class Table(Section):
    """Ids hash into rows, so an unknown id never fails.

    **Features that name the same table share its embeddings**: seed, history and candidate
    should, for an id means the same everywhere.

    ```yaml
    tables:
      items: {buckets: 20000, dim: 32}
      words: {buckets: 5000, dim: 32, vocabulary: words.txt}
      channels: {buckets: 2000, dim: 32, vocabulary: {built: 10000}}
    ```
    """

    buckets: Positive
    """Rows for hashed ids. A few times the number of ids, so that few collide."""
    dim: Positive
    """Numbers per row."""
    vocabulary: Annotated[Vocabulary | None, Field(title="path or section")] = None
    """Ids with a row each, before the buckets. A text file, an id a line: a relative path starts
    where the job is run; leave the file as it is for the life of a work directory. Or
    ``{built: 50000}``, see below."""


class BaseFeature(Section):
    """What all features have: a name, the column it is read from, and whose column that is."""

    name: Name
    """Names the feature in examples, in serving requests and in messages."""
    column: Annotated[str, Field(min_length=1, title="column")] = ""
    """The column it is read from: that of the feature's name, if none is given."""
    of: Literal["event", "user", "item"] | None = None
    """Whose column: in the query ``event`` (the default) or ``user`` (the profile); in the
    candidate ``item``."""

    @model_validator(mode="before")
    @classmethod
    def _default_column(cls, values):
        if isinstance(values, dict) and "name" in values:
            values = {"column": values["name"], **values}
        return values


class IdFeature(BaseFeature):
    """One id, its row of the table.

    Where it is missing: the id ``""``, which has a row of its own.

    ```yaml
    - {name: seed, column: seed_item_id, kind: id, table: items}
    ```
    """

    kind: Literal["id"]
    table: TableName
    """Of [tables](#tables)."""


class IdBagFeature(BaseFeature):
    """A list of ids (a history, a set), their embeddings combined; an empty one gives zeros.

    In JSON and Parquet a list, or text with a ``separator``; in CSV text.

    ```yaml
    - {name: history, kind: id_bag, table: items}
    - {name: genres, kind: id_bag, table: words, separator: "|"}
    ```
    """

    kind: Literal["id_bag"]
    table: TableName
    """Of [tables](#tables)."""
    combiner: Literal["mean", "sum", "sqrtn"] = "mean"
    """Sum of the embeddings, divided by their number (mean) or its root (sqrtn)."""
    max_length: Positive | None = None
    """At most so many, the last ones. A history never has more than ``examples.history_length``."""
    separator: Separator | None = None
    """What separates ids given as text. Without it such text is one id. For
    ``source.events.columns.history`` given as text, set it in the ``history`` feature."""


class WeightedIdBagFeature(BaseFeature):
    """Ids with weights, in two columns of the same length.

    A record where the lengths differ is rejected. In requests the weights are called
    ``<name>_weights``.

    ```yaml
    - {name: topics, kind: weighted_id_bag, table: words, weights: topic_shares}
    ```
    """

    kind: Literal["weighted_id_bag"]
    table: TableName
    """Of [tables](#tables)."""
    weights: Column
    """The weights, as a list like the ids."""
    combiner: Literal["mean", "sum", "sqrtn"] = "sum"
    """Sum of weight times embedding; mean: divided by the sum of the weights; sqrtn: by the root
    of the sum of their squares."""
    max_length: Positive | None = None
    """At most so many, the last ones."""
    separator: Separator | None = None
    """What separates ids, and weights, given as text."""


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


class TextFeature(BaseFeature):
    """Lower-cased words (runs of letters and digits) and n-grams of neighbouring words, averaged.

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

    kind: Literal["text"]
    table: TableName
    """Of [tables](#tables)."""
    ngrams: Annotated[int, Field(ge=1, le=3)] = 2
    """The longest n-gram: 2 means words and pairs of words."""


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
