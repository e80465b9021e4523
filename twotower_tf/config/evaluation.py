"""How a model is measured on held-out examples, and beside what."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from twotower_tf.config.examples import why_no_own_items
from twotower_tf.config.section import Days, NotNegative, Positive, Section, nearest

_Cutoffs = Annotated[list[Positive], Field(min_length=1, title="ascending list of ≥ 1")]


class ItemKnnSection(Section):
    """The baseline of nearest items: near are those that the same users acted on.

    The similarity of two items is the number of users who acted on both, over the square root of
    the product of those who acted on each, plus ``shrinkage`` (Sarwar et al. 2001; Deshpande and
    Karypis 2004).
    """

    neighbours: Positive = 100
    """So many of each item count, the nearest."""
    shrinkage: NotNegative = 10.0
    """What few users stand behind counts little."""


class Evaluation(Section):
    """How the model is measured on held-out examples, beside its baselines."""

    at: _Cutoffs = Field(default=[10, 50, 100])
    """The K of Recall@K, NDCG@K, precision@K, MAP@K and coverage."""
    batch_size: Positive = 512
    """Queries scored, and items embedded, at a time: memory, not results."""
    baseline_days: Days = 7
    """The baselines count the training examples of the last so many days."""
    item_knn: ItemKnnSection | None = None
    """One more baseline: the items nearest to those of the user's past. Give ``{}`` for the
    defaults. It reads the training examples of the last ``baseline_days`` days once more."""
    repeats: Literal["all", "new", "repeat"] | None = None
    """Which held-out examples count, by whether the user acted on the item before, in all the
    past.

    - ``all``: every one; the recall of the others is told beside it (``recall_by_repeat``)
    - ``new``: those whose item the user never acted on; what a user did act on is taken out of
      every ranking, as a release does with ``exclude_ids``
    - ``repeat``: those whose item the user acted on before

    Without it ``all`` where own items are counted (``examples.own_length``); where they are not, it
    can't be told. Nothing but the metrics depends on it."""
    by_popularity: bool = False
    """Also recall by how often the held-out item was in training examples so far, in tenths of the
    items that were, and of those that never were (``recall_by_popularity``)."""

    @field_validator("at")
    @classmethod
    def _ascending(cls, at):
        if at != sorted(set(at)):
            raise ValueError(f"must be ascending, each once, got {at}")
        return at


def baselines_of(config) -> list[str]:
    """Returns the names of the baselines that a configuration has measured."""
    names = ["most_popular", "after_seed"]
    # Of what is new to a user nothing was the user's own.
    if why_no_own_items(config) is None and config.evaluation.repeats != "new":
        names.append("own_items")
    return names + (["item_knn"] if config.evaluation.item_knn is not None else [])


def check_evaluation(config) -> None:
    """Checks a configuration's evaluation, and the gates that look at it.

    Raises:
        ValueError: If something is asked for that can't be measured; names the key.
    """
    why_not = why_no_own_items(config)
    if config.evaluation.repeats is not None and why_not is not None:
        raise ValueError(
            f"evaluation.repeats: {config.evaluation.repeats} goes by what users acted on before, "
            f"but {why_not}"
        )
    gates, at = config.gates, config.evaluation.at
    named = gates.min_over_baseline if isinstance(gates.min_over_baseline, dict) else {}
    known = baselines_of(config)
    for name in named:
        if name not in known:
            raise ValueError(
                f"gates.min_over_baseline: '{name}' is not one of the baselines that are measured: "
                f"{', '.join(known)}{nearest(name, known)}"
            )
    if gates.recall_at is not None and gates.recall_at not in at:
        raise ValueError(
            f"gates.recall_at must be one of evaluation.at {at}, got {gates.recall_at}"
        )
