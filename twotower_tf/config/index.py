"""What every kind of index is told, and the gates of a release."""

from typing import Annotated, ClassVar

from pydantic import Field

from twotower_tf.config.section import Natural, NotNegative, Positive, Section, Share


class IndexSection(Section):
    """Base of the sections of ``INDEX_KINDS``.

    Attributes:
        fewest_items: With fewer items a catalogue gets the exact index, whatever is configured.
        needs_modules: What must be imported before a release with such an index is loaded.
        operations: The namespaces of operations that are not TensorFlow's own, ``Scann`` of
            ``Scann>ScannSearchBatched``.
    """

    fewest_items: ClassVar[int] = 0
    needs_modules: ClassVar[tuple[str, ...]] = ()
    operations: ClassVar[tuple[str, ...]] = ()

    default_k: Positive = 100
    """``k`` where a request does not say; see [serving.md](serving.md) for who may leave it
    out."""
    exclude_seed: bool = False
    """Whether the seed item of a request, which is on screen already, never comes in its answer, as
    if it were among its ``exclude_ids``; then no held-out example finds its own in ``evaluate``
    either. It costs a request what excluding costs."""
    recall: Share = 0.97
    """The recall against exact search that an approximate index is to reach: it gets the cheapest
    setting that does."""
    recall_at: Positive = 100
    """The k at which the index is compared with exact search, and for which it is laid out."""
    recall_queries: Positive = 500
    """At most so many held-out queries for that. With none, the setting is a cautious guess."""
    max_fresh_share: Share = 0.2
    """``refresh_index`` lets so many items come, as a share of those indexed, and so many go,
    since the index was built; more need ``build_index``. Fresh items are searched exactly, at a
    cost that grows with their number."""

    def chosen_for(self, items: int) -> str:
        """Returns the kind of index that a catalogue of so many items is to get: this one."""
        return self.kind


class Gates(Section):
    """What a release must reach; one that fails publishes nothing (exit status 1), and the last
    release stays.

    What could not be measured passes, and the report says so. Besides, the day's loss must be
    finite.
    """

    min_examples: Natural = 1
    """Training examples of the day."""
    min_weight: NotNegative = 0.0
    """Sum of the rewards of the day's training examples. It must be above 0 in any case: where it
    is not, nothing was learned."""
    min_items_per_batch: NotNegative = 2.0
    """Distinct items of a batch, on average: an item that is alone has nothing to be told from."""
    recall_at: Annotated[Positive | None, Field(title="one of `evaluation.at`")] = None
    """The K of the next gate; without it the largest of ``evaluation.at``."""
    min_recall_ratio: NotNegative = 0.5
    """Recall@K of the day's held-out examples over that of the last release on those of its own
    day. 0 switches it off."""
    min_over_baseline: (
        Annotated[NotNegative | dict[str, NotNegative], Field(title="≥ 0, or baseline → ≥ 0")]
        | None
    ) = None
    """Recall@K of the day's held-out examples over that of the best baseline, or, as in
    ``{most_popular: 1.5, item_knn: 1.0}``, of the baselines named; at every K of
    ``evaluation.at``."""
    min_index_recall: Share = 0.9
    """The index against exact search."""
    min_coverage: Share = 0.9
    """The share of the training examples of the last ``selection.coverage_days`` days whose item
    is in the index. It catches rules that are too strict, and catalogue files that are cut
    short."""
    max_ranking_loss_ratio: NotNegative = 1.5
    """With [ranking](#ranking): the weighted per-user loss of the day's held-out impressions over
    that of the last release on those of its own day. 0 switches it off."""
