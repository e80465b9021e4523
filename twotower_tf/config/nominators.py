"""What proposes items for a request, and how all that is proposed comes on one scale."""

from collections.abc import Collection, Sequence
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from twotower_tf.config.registries import NOMINATORS
from twotower_tf.config.registry import named
from twotower_tf.config.section import Positive, Section

INDEX = "index"
_USUAL_SHARE = 1.0


class NominatorSection(Section):
    """Base of the sections of ``NOMINATORS``.

    Attributes:
        inputs: What a request brings for it, beside the features of the query.
        window_days: It goes by the training examples of the last so many days.
    """

    inputs: ClassVar[tuple[str, ...]] = ()
    share: Annotated[float, Field(gt=0.0)] = _USUAL_SHARE
    """With ``ranking``: its part of ``ranking.candidates``, as a weight beside the other
    nominators' (3 beside 1: three quarters). What it does not use goes to the index."""

    @property
    def window_days(self) -> int:
        return 0

    def check(self, config) -> None:
        """Checks that a deployment has what this nominator needs; ValueError if it has not."""


class Blend(Section):
    """The scale that what several nominators propose is put on: weights that are fitted to
    held-out examples of days before, with the scores that the model of the day gives them."""

    days: Positive = 14
    """The last days whose held-out examples are fitted to; the day that is evaluated is none."""
    examples: Positive = 4000
    """At most so many of them, the latest."""


Nominator = Annotated[NOMINATORS.section, BeforeValidator(named)]


def check_nominators(
    config, nominators: Sequence[NominatorSection], taken: Collection[str]
) -> None:
    """Checks the nominators of a deployment; raises ValueError for the first mistake.

    Args:
        config: The deployment.
        nominators: Its nominators.
        taken: The inputs of its query.
    """
    kinds = [section.kind for section in nominators]
    for number, section in enumerate(nominators):
        if section.kind in kinds[:number]:
            raise ValueError(f"nominators[{number}]: '{section.kind}' is there already")
        # By its value, not by whether it was given: a configuration that travels names all keys.
        if config.ranking is None and section.share != _USUAL_SHARE:
            raise ValueError(
                f"nominators[{number}] ({section.kind}): share says how many of its items are "
                "ranked, and nothing is without ranking; leave it out"
            )
        for name in section.inputs:
            if name in taken:
                raise ValueError(
                    f"nominators[{number}] ({section.kind}): it has an input called '{name}', as "
                    "a feature of the query has"
                )
        try:
            section.check(config)
        except ValueError as error:
            raise ValueError(f"nominators[{number}] ({section.kind}): {error}") from error
    if INDEX not in kinds:
        raise ValueError(f"nominators: '{INDEX}' must be one of them, got {', '.join(kinds)}")
