"""Embedding tables, what all kinds of features have, and towers."""

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from twotower_tf.config.registries import FEATURE_KINDS
from twotower_tf.config.section import Name, Positive, Section


class BuiltVocabulary(Section):
    """The ``built`` most frequent ids of the examples of the window (``statistics.days``)."""

    built: Positive


def _kind_of_vocabulary(value) -> str:
    return "built" if isinstance(value, dict | BuiltVocabulary) else "file"


Vocabulary = Annotated[
    Annotated[str, Tag("file")] | Annotated[BuiltVocabulary, Tag("built")],
    Discriminator(_kind_of_vocabulary),
]


class Table(Section):
    """An embedding table: ids hash into ``buckets`` rows of ``dim`` numbers.

    With ``vocabulary`` (a file with an id a line, or one that the build makes) the listed ids
    have a row each, and the buckets take the rest.
    """

    buckets: Positive
    dim: Positive
    vocabulary: Vocabulary | None = None


class BaseFeature(Section):
    """What all features have: a name, the column it is read from, and whose column that is.

    A kind of feature is a subclass with ``kind: Literal["its_name"]``, which is registered with
    its encoder (``config.registries.FEATURE_KINDS``).

    Attributes:
        reads_searches: Whether it may be of the user's past searches, a list of texts.
    """

    reads_searches: ClassVar[bool] = False

    name: Name
    column: Annotated[str, Field(min_length=1)] = ""
    of: Literal["event", "user", "item"] | None = None

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


class Tower(Section):
    """An encoder: its features, then fully connected layers; the last is the embedding's size."""

    features: Annotated[list[FEATURE_KINDS.section], Field(min_length=1)]
    layers: Annotated[list[Positive], Field(min_length=1)]

    @field_validator("features")
    @classmethod
    def _names_once(cls, features):
        names = [feature.name for feature in features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"feature names must differ, but these come twice: {', '.join(twice)}")
        return features
