"""The sequential protocol and the evaluation."""

from typing import Annotated

from pydantic import Field, field_validator

from twotower_tf.config.section import Days, Positive, Section

_Cutoffs = Annotated[list[Positive], Field(min_length=1, title="ascending list of ≥ 1")]


class Training(Section):
    """The sequential protocol: each day once, in order, in batches, never shuffled."""

    batch_size: Positive = 1024
    """Examples per step; also the number of in-batch negatives."""
    keep_checkpoints: Positive = 3
    """The newest so many stay."""
    tensorboard: bool = True
    """Write scalars to ``<workdir>/tensorboard``."""


class Evaluation(Section):
    """How the model is measured on held-out examples, beside its baselines."""

    at: _Cutoffs = Field(default=[10, 50, 100])
    """The K of Recall@K, NDCG@K and coverage."""
    batch_size: Positive = 512
    """Queries scored, and items embedded, at a time: memory, not results."""
    baseline_days: Days = 7
    """The baselines count the training examples of the last so many days."""

    @field_validator("at")
    @classmethod
    def _ascending(cls, at):
        if at != sorted(set(at)):
            raise ValueError(f"must be ascending, each once, got {at}")
        return at
