"""Where a loss's negatives come from, beside the other items of the batch."""

from typing import Annotated

from pydantic import Field, model_validator

from twotower_tf.config.section import NotNegative, Positive, Section

_UNIFORM_DRAWS = 1024


class HardNegatives(Section):
    """Items near to a query that the user did not take.

    Before a day is trained on, and before each pass, the model as it is then finds the items
    nearest to each example's query, by the kind of ``index``. Of the ranks from ``from_rank`` to
    ``to_rank`` so many are drawn that are neither the example's item, nor its seed item, nor in its
    history or basket. A model without a step of training has none yet.
    [losses.md](losses.md#hard-negatives) has what it costs.
    """

    count: Positive = 4
    """How many for each example."""
    from_rank: Positive = 10
    """The best rank drawn from. The very nearest items are often what the user would have liked
    too."""
    to_rank: Positive = 200
    """The last rank drawn from."""
    weight: Annotated[float, Field(gt=0.0)] = 1.0
    """What each weighs in the softmax, where an item of the batch weighs 1 / p."""

    @model_validator(mode="after")
    def _check_ranks(self):
        if self.to_rank - self.from_rank + 1 < self.count:
            raise ValueError(
                f"the ranks from_rank {self.from_rank} to to_rank {self.to_rank} must be at least "
                f"count, {self.count}"
            )
        return self


class Negatives(Section):
    """Negatives of an example beside the other items of its batch, which are always its negatives.

    ``explicit`` and ``hard`` are for the softmax losses.

    ```yaml
    negatives: {explicit: 0.5, hard: {count: 4, from_rank: 10, to_rank: 200}}
    ```
    """

    uniform: Positive | None = None
    """Items drawn uniformly from the day's catalogue with each batch, for ``mixed_softmax``, which
    takes 1,024 if it isn't given."""
    explicit: NotNegative = 0.0
    """The weight of an example of reward 0, whose item is then a negative of its query: shown, and
    not wanted. 0: such an example teaches its query nothing."""
    hard: HardNegatives | None = None
    """Items near to the query that the user did not take."""

    @property
    def uniform_draws(self) -> int:
        """How many are drawn for a loss that needs them."""
        return self.uniform or _UNIFORM_DRAWS


def check_negatives(config) -> None:
    """Checks ``negatives`` against the rest of a ``Config``.

    Raises:
        ValueError: If they do not fit; says why.
    """
    negatives, loss = config.negatives, config.loss
    # Losses of others say with the batch whether they take them.
    if negatives.uniform is not None and not getattr(loss, "uniform_negatives", True):
        raise ValueError(f"negatives.uniform is for loss.kind: mixed_softmax, got {loss.kind}")
    for key in ("explicit", "hard"):
        if getattr(negatives, key) and not getattr(loss, "query_negatives", True):
            raise ValueError(
                f"negatives.{key} is for the softmax losses, got loss.kind: {loss.kind}"
            )
    if negatives.explicit and config.examples.reward is None:
        raise ValueError(
            "negatives.explicit is for examples of reward 0, and there are none without "
            "examples.reward"
        )
    if negatives.explicit and config.examples.min_reward:
        raise ValueError(
            "negatives.explicit is for examples of reward 0, of which examples.min_reward "
            f"{config.examples.min_reward:g} makes none"
        )
