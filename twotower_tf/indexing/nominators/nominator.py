"""What a nominator is: it proposes items of the catalogue, and says what speaks for each.

All candidates of a request are put on one scale: the cosine of the query's and the item's vector,
plus a bonus for what nominators say of the item, which is linear in their features (``blend``). So
an item that nobody but the index proposes has its cosine as its score.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.config.nominators import NominatorSection
from twotower_tf.config.registries import NOMINATORS
from twotower_tf.examples.schema import RawFeature

# Maps ids, string [B, L], to positions in the catalogue, int32 [B, L]; -1: not in it.
Find = Callable[[tf.Tensor], tf.Tensor]


class Nominated(NamedTuple):
    """What a nominator proposes.

    Attributes:
        positions: int32 [B, L], places in the catalogue; -1: nothing.
        features: float32 [B, L, F], what speaks for each.
    """

    positions: tf.Tensor
    features: tf.Tensor


class Nominator(ABC):
    """Proposes items beside the index.

    Attributes:
        inputs: What a request brings for it: raw values, in held-out examples under their names.
        features: What each of its features is called; of all nominators each once.
        prior: The weight that each feature has while there are no held-out examples to fit it
            to, beside a cosine's of ``blend.PRIOR_SLOPE``.
    """

    inputs: ClassVar[tuple[RawFeature, ...]] = ()
    features: ClassVar[tuple[str, ...]] = ()
    prior: ClassVar[tuple[float, ...]] = ()

    @abstractmethod
    def nominate(self, request: Mapping[str, tf.RaggedTensor], find: Find) -> Nominated:
        """Proposes items for B queries, best first.

        Args:
            request: The inputs by name, [B, (L)].
            find: Where items are.
        """

    def sample(self, item_ids: Sequence[str]) -> dict[str, list]:
        """Returns inputs of a user who acted on some items, for tests of a release."""
        return {}


def nothing_beside(section: NominatorSection) -> None:
    """Makes nothing: what the index proposes is not beside it."""


def beside_the_index(config: Config) -> list[Nominator]:
    """Returns the nominators of a deployment beside the index."""
    made = map(NOMINATORS.make, config.nominators)
    return [nominator for nominator in made if nominator is not None]


def features_of(nominators: Sequence[Nominator]) -> list[str]:
    """Returns the names of all features of some nominators."""
    return [name for nominator in nominators for name in nominator.features]


def inputs_of(nominators: Sequence[Nominator]) -> list[RawFeature]:
    """Returns what requests bring for some nominators."""
    return [raw for nominator in nominators for raw in nominator.inputs]


def nominated_by(
    nominators: Sequence[Nominator], request: Mapping[str, tf.RaggedTensor], find: Find
) -> Nominated:
    """Returns what some nominators, at least one, propose.

    An item that several propose is there several times.
    """
    return side_by_side(nominators, [nominator.nominate(request, find) for nominator in nominators])


def side_by_side(nominators: Sequence[Nominator], parts: Sequence[Nominated]) -> Nominated:
    """Returns what each of some nominators proposes as one.

    Each one's features stand beside those of the others, and are 0 of what it did not propose.
    """
    width = len(features_of(nominators))
    features, first = [], 0
    for nominator, part in zip(nominators, parts, strict=True):
        after = width - first - len(nominator.features)
        features.append(tf.pad(part.features, [[0, 0], [0, 0], [first, after]]))
        first += len(nominator.features)
    return Nominated(tf.concat([part.positions for part in parts], 1), tf.concat(features, 1))
