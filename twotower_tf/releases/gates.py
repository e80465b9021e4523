"""The gates: what a release candidate must reach before it is published."""

import dataclasses
import math
from collections.abc import Mapping

from twotower_tf.config.index import Gates


@dataclasses.dataclass(frozen=True)
class MeasuredRanking:
    """What the gates look at of a ranking model; None: not measured.

    Attributes:
        loss: Mean loss of the day.
        user_loss: The weighted per-user loss of the day's held-out impressions.
        last_user_loss: The last release's, on those of its own day.
    """

    loss: float | None = None
    user_loss: float | None = None
    last_user_loss: float | None = None


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the gates look at; None: not measured.

    Attributes:
        examples: Number of examples trained on that day.
        weight: The sum of their rewards.
        items_per_batch: How many distinct items a batch had on average.
        loss: Mean loss of the day.
        recall_at: k of the two recalls below.
        recall: Recall@k of the day's held-out examples.
        last_recall: The last release's recall@k, on the held-out examples of its own day.
        recall_of: Which held-out examples these are of, of ``evaluation.repeats``.
        recalls: By K, as text, the recall of the day's held-out examples.
        baseline_recalls: The same of each baseline, by its name.
        index_recall: The index's recall against exact search.
        coverage: The share of recent training examples whose item is in the index.
        ranking: Of the second stage; None: there is none.
    """

    examples: int
    weight: float | None = None
    items_per_batch: float | None = None
    loss: float | None = None
    recall_at: int | None = None
    recall: float | None = None
    last_recall: float | None = None
    recall_of: str = "all"
    recalls: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    baseline_recalls: Mapping[str, Mapping[str, float | None]] = dataclasses.field(
        default_factory=dict
    )
    index_recall: float | None = None
    coverage: float | None = None
    ranking: MeasuredRanking | None = None


@dataclasses.dataclass(frozen=True)
class GateResult:
    """How one gate went.

    Attributes:
        name: Which gate.
        passed: Whether it lets the release through.
        measured: The number looked at, None if there is none.
        required: The number it was compared with, None if there is none.
        message: One line: the gate, what was measured, what was required.
    """

    name: str
    passed: bool
    measured: float | None
    required: float | None
    message: str


def check_gates(gates: Gates, measured: Measured) -> list[GateResult]:
    """Checks every gate, also after one has failed.

    These are examples, their weight, items of a batch, loss, recall, recall over that of
    baselines, index recall, coverage, and of the second stage, if there is one, loss and weighted
    per-user loss.
    A gate whose number was not measured passes and says so; a number that is NaN never passes.
    """
    return [
        _at_least("examples", measured.examples, gates.min_examples, "gates.min_examples"),
        _weight(gates, measured.weight),
        _at_least(
            "items_per_batch",
            measured.items_per_batch,
            gates.min_items_per_batch,
            "gates.min_items_per_batch",
            of="batches that were counted",
        ),
        _finite_loss("loss", measured.loss),
        _recall(gates, measured),
        *_over_baselines(gates, measured),
        _at_least(
            "index_recall",
            measured.index_recall,
            gates.min_index_recall,
            "gates.min_index_recall",
        ),
        _at_least(
            "coverage",
            measured.coverage,
            gates.min_coverage,
            "gates.min_coverage",
            of="recent training examples",
        ),
        *_ranking(gates, measured.ranking),
    ]


def _at_least(
    name: str, value: float | None, required: float, why: str, of: str = "held-out examples"
) -> GateResult:
    if value is None:
        return _not_applied(name, f"it was not measured: there are no {of}")
    passed = value >= required
    words = "is at least" if passed else "is less than"
    message = f"{name}: {_shown(value)} {words} the required {_shown(required)} ({why})"
    return GateResult(name, passed, value, required, message)


def _weight(gates: Gates, weight: float | None) -> GateResult:
    if weight == 0.0:
        return GateResult("weight", False, weight, None, "weight: no example has a reward above 0")
    of = "training examples that were counted"
    return _at_least("weight", weight, gates.min_weight, "gates.min_weight", of=of)


def _finite_loss(name: str, loss: float | None) -> GateResult:
    if loss is None:
        return _not_applied(name, "it was not measured: nothing was trained")
    passed = math.isfinite(loss)
    required = "a finite number is required"
    return GateResult(name, passed, loss, None, f"{name}: {_shown(loss)}, {required}")


def _ranking(gates: Gates, measured: MeasuredRanking | None) -> list[GateResult]:
    if measured is None:
        return []
    return [_finite_loss("ranking_loss", measured.loss), _user_loss(gates, measured)]


def _user_loss(gates: Gates, measured: MeasuredRanking) -> GateResult:
    name, value, last = "ranking_user_loss", measured.user_loss, measured.last_user_loss
    ratio = gates.max_ranking_loss_ratio
    if value is None:
        return _not_applied(name, "it was not measured: there are no held-out impressions")
    if last is None or not ratio:
        why = "no last release to compare with" if ratio else "gates.max_ranking_loss_ratio is 0"
        applied = _not_applied(name, f"{_shown(value)}, and {why}")
        return dataclasses.replace(applied, measured=value)
    most = ratio * last
    words = "is at most" if value <= most else "is more than"
    message = (
        f"{name}: {_shown(value)} {words} the allowed {_shown(most)} "
        f"(gates.max_ranking_loss_ratio {ratio:g} times the last release's {_shown(last)})"
    )
    return GateResult(name, value <= most, value, most, message)


def _recall(gates: Gates, measured: Measured) -> GateResult:
    name = "recall" if measured.recall_at is None else f"recall@{measured.recall_at}"
    if measured.recall is None:
        return _not_applied(name, "it was not measured: there are no held-out examples")
    if measured.last_recall is None:
        return dataclasses.replace(
            _not_applied(name, f"{_shown(measured.recall)}, and no last release to compare with"),
            measured=measured.recall,
        )
    return _at_least(
        name,
        measured.recall,
        gates.min_recall_ratio * measured.last_recall,
        f"gates.min_recall_ratio {gates.min_recall_ratio:g} times the last release's "
        f"{_shown(measured.last_recall)}",
    )


def _over_baselines(gates: Gates, measured: Measured) -> list[GateResult]:
    """Compares at each K with the baselines that are named, or with the best there is."""
    required = gates.min_over_baseline
    if required is None:
        return []
    results = []
    for k, recall in measured.recalls.items():
        there = {
            name: recalls[k]
            for name, recalls in measured.baseline_recalls.items()
            if recalls.get(k) is not None
        }
        if isinstance(required, Mapping):
            for name, ratio in required.items():
                results.append(_over_baseline(k, recall, name, there.get(name), ratio))
        else:
            # The first of equal ones.
            best = max(there, key=there.get, default="best_baseline")
            results.append(_over_baseline(k, recall, best, there.get(best), required))
    return results


def _over_baseline(
    k: str, recall: float | None, baseline: str, of_baseline: float | None, ratio: float
) -> GateResult:
    name = f"recall@{k}_over_{baseline}"
    if recall is None or of_baseline is None:
        return _not_applied(name, "one of the two was not measured")
    why = f"gates.min_over_baseline {ratio:g} times the {_shown(of_baseline)} of {baseline}"
    return _at_least(name, recall, ratio * of_baseline, why)


def _not_applied(name: str, why: str) -> GateResult:
    return GateResult(name, True, None, None, f"{name}: {why}")


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
