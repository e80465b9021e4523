"""Embedding tables, and what all kinds of features have."""

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from twotower_tf.config.section import ByContents, Name, Natural, Positive, Section, Touches


class BuiltVocabulary(Section):
    """The ids that are in the most training examples of the window get a row each.

    The window is that of [statistics](#statistics). Ids of features that name the table are
    counted; of a history it is the event's own item. Words of a ``text`` feature can't be counted
    so.
    """

    built: Positive
    """How many. Rows are kept for as many, even where there are fewer."""


class CatalogueVocabulary(Section):
    """The items of the catalogue get a row each, as it is at the model's start.

    Items that come later share the buckets.
    """

    catalogue: Literal[True]
    """Says that it is the catalogue's items."""
    rows: Positive | None = None
    """How many rows are kept for them: as many as there are items, if it isn't given."""


def _kind_of_vocabulary(value) -> str:
    if isinstance(value, CatalogueVocabulary) or (isinstance(value, dict) and "catalogue" in value):
        return "catalogue"
    return "built" if isinstance(value, dict | BuiltVocabulary) else "file"


Vocabulary = Annotated[
    Annotated[str, Tag("file")]
    | Annotated[BuiltVocabulary, Tag("built")]
    | Annotated[CatalogueVocabulary, Tag("catalogue")],
    Discriminator(_kind_of_vocabulary),
]


TableName = Annotated[str, Field(title="name of a table")]


class TableSection(Section):
    """Ids hash into rows, so an unknown id never fails.

    **Features that name the same table share its embeddings**: seed item, history and candidate
    should, for an id means the same everywhere.

    ```yaml
    tables:
      items: {buckets: 20000, dim: 32}
      words: {buckets: 5000, dim: 32, vocabulary: words.txt}
      channels: {buckets: 2000, dim: 32, vocabulary: {built: 10000}}
      users: {buckets: 0, dim: 32, vocabulary: {built: 100000}}
    ```
    """

    buckets: Natural | None = None
    """Rows for hashed ids. A few times the number of ids, so that few collide; without it, so many
    by the catalogue at the model's start. 0: ids outside the vocabulary have the zero vector."""
    dim: Positive | None = None
    """Numbers per row; without it, as many as an item's vector has."""
    vocabulary: Annotated[Vocabulary | None, Field(title="path or section"), ByContents()] = None
    """Ids with a row each, before the buckets. A text file, an id a line: a relative path starts
    where the job is run; leave the file as it is for the life of a work directory. Or
    ``{built: 50000}`` or ``{catalogue: true}``, see below."""

    @model_validator(mode="after")
    def _check_rows(self):
        if self.buckets == 0 and self.vocabulary is None:
            raise ValueError(
                "buckets: 0 leaves all ids without a vector; say with vocabulary which have one, "
                "such as {built: 100000}"
            )
        return self


class BaseFeature(Section):
    """What all features have: a name, the column it is read from, and whose column that is.

    A kind of feature is a subclass with ``kind: Literal["its_name"]``, which is registered with
    its encoder (``config.registries.FEATURE_KINDS``).

    Attributes:
        reads_searches: Whether it may be of the user's past searches, a list of texts.
    """

    reads_searches: ClassVar[bool] = False

    name: Name
    """Names the feature in examples, in serving requests and in messages."""
    column: Annotated[str, Field(min_length=1, title="column")] = ""
    """The column it is read from: that of the feature's name, if none is given."""
    of: Literal["event", "user", "item"] | None = None
    """Whose column: in the query ``event`` (the default) or ``user`` (the profile); in the
    candidate ``item``."""

    required: Annotated[bool, Touches.NOTHING] = True
    """``false``: files may lack the column, as those from before it was first logged; the feature
    is then missing in all their records."""

    @model_validator(mode="before")
    @classmethod
    def _default_column(cls, values):
        if isinstance(values, dict) and "name" in values:
            values = {"column": values["name"], **values}
        return values

    @property
    def needs_statistics(self) -> bool:
        """Whether its encoder has something to ``adapt`` to: statistics of its one number."""
        return False

    def owner(self, tower: Literal["query", "candidate"]) -> str:
        """Returns whose column it is, as a feature of a tower."""
        return self.of or ("event" if tower == "query" else "item")

    def raw_features(self, of: str, config) -> list:
        """Returns the raw values that it needs, ``examples.schema.RawFeature``, in their order.

        Build, reader, index, serving and requests follow from them; the encoder finds each by its
        name. The first has the feature's name, others a name that starts with it.

        Args:
            of: Whose column it is read from, from ``owner``.
            config: The whole ``Config``.
        """
        raise NotImplementedError

    def check(self, tower: Literal["query", "candidate"], config) -> None:
        """Checks it against the rest of the configuration.

        Raises:
            ValueError: If it does not fit; says why.
        """
