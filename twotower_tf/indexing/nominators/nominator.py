"""What a nominator is: it proposes items of the catalogue, and says what speaks for each.

All candidates of a request are put on one scale: the cosine of the query's and the item's vector,
plus a bonus for what nominators say of the item, which is linear in their features (``blend``). So
an item that nobody but the index proposes has its cosine as its score.

What a nominator goes by is in the request, or was learnt of a day (``learn``); then it is in the
release, as places in its catalogue.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple

import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.config.nominators import NominatorSection
from twotower_tf.config.registries import NOMINATORS
from twotower_tf.examples.schema import RawFeature
from twotower_tf.graph.membership import is_among
from twotower_tf.indexing.nominators.known import Known

# Maps ids, string [B, L], to places in the catalogue, int32 [B, L]; -1: not in it.
Find = Callable[[tf.Tensor], tf.Tensor]


# Raw values by name: [B], or ragged [B, (L)].
Request = Mapping[str, tf.Tensor | tf.RaggedTensor]


class Nominated(NamedTuple):
    """What a nominator proposes.

    Attributes:
        positions: int32 [B, L], places in the catalogue; -1: nothing.
        features: float32 [B, L, F], what speaks for each; finite.
    """

    positions: tf.Tensor
    features: tf.Tensor


class Nominator(tf.Module, ABC):
    """Proposes items beside the index.

    It can be asked alone: its ``kind`` says who proposed, and where ``scored``, the first of its
    features is its own order of what it proposes, the higher the better.

    Attributes:
        kind: What the configuration calls it.
        scored: Whether its first feature is a score.
        instead_of: Kinds of nominators that say nothing of what this one proposes, since it tells
            by itself what they would.
        inputs: What a request brings for it: raw values, in held-out examples under their names.
        features: What each of its features is called; of all nominators each once.
        prior: The weight that each feature has while there are no held-out examples to fit it
            to, beside a cosine's of ``blend.PRIOR_SLOPE``.
    """

    kind: ClassVar[str]
    scored: ClassVar[bool] = True
    instead_of: tuple[str, ...] = ()
    inputs: ClassVar[tuple[RawFeature, ...]] = ()
    features: tuple[str, ...] = ()
    prior: tuple[float, ...] = ()

    def learn(self, known: Known) -> None:
        """Learns what is known at the end of a day, in place of what it learnt before.

        It is called before ``nominate`` is, or is traced. What it learns it keeps in variables
        that are not trainable, so that they are in the release.
        """

    @abstractmethod
    def nominate(self, request: Request, find: Find) -> Nominated:
        """Proposes items for B queries, best first.

        Args:
            request: The inputs, and the features of the query, by name, [B, (L)].
            find: Where items are.
        """

    def sample(self, item_ids: Sequence[str]) -> dict[str, list]:
        """Returns inputs of a user who acted on some items, for tests of a release."""
        return {}


def nothing_beside(section: NominatorSection, config: Config) -> None:
    """Makes nothing: what the index proposes is not beside it."""


def beside_the_index(config: Config) -> list[Nominator]:
    """Returns the nominators of a deployment beside the index."""
    made = (NOMINATORS.make(section, config) for section in config.nominators)
    return [nominator for nominator in made if nominator is not None]


def features_of(nominators: Sequence[Nominator]) -> list[str]:
    """Returns the names of all features of some nominators."""
    return [name for nominator in nominators for name in nominator.features]


def inputs_of(nominators: Sequence[Nominator]) -> list[RawFeature]:
    """Returns what requests bring for some nominators."""
    return [raw for nominator in nominators for raw in nominator.inputs]


def nominated_by(nominators: Sequence[Nominator], request: Request, find: Find) -> Nominated:
    """Returns what some nominators, at least one, propose together.

    An item that several propose is there several times, but for those that propose it
    ``instead_of`` others.
    """
    return side_by_side(nominators, proposed_by(nominators, request, find))


def proposed_by(nominators: Sequence[Nominator], request: Request, find: Find) -> list[Nominated]:
    """Returns what each of some nominators proposes, without what others propose instead of it."""
    proposed = [nominator.nominate(request, find) for nominator in nominators]
    parts = []
    for nominator, part in zip(nominators, proposed, strict=True):
        taken = [
            other.positions
            for instead, other in zip(nominators, proposed, strict=True)
            if nominator.kind in instead.instead_of
        ]
        if taken:
            is_taken = is_among(tf.sort(tf.concat(taken, 1), axis=1), part.positions)
            part = part._replace(positions=tf.where(is_taken, -1, part.positions))
        parts.append(part)
    return parts


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
