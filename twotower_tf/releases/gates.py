"""The gates: what a release candidate must reach before it is published."""

import dataclasses
import math

from twotower_tf.config.index import Gates


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the gates look at; None: not measured.

    Attributes:
        examples: Number of examples trained on that day.
        loss: Mean loss of the day.
        recall_at: k of the two recalls below.
        recall: Recall@k of the day's held-out examples.
        last_recall: The last release's recall@k, on the held-out examples of its own day.
        index_recall: The index's recall against exact search.
        coverage: The share of recent training examples whose item is in the index.
    """

    examples: int
    loss: float | None = None
    recall_at: int | None = None
    recall: float | None = None
    last_recall: float | None = None
    index_recall: float | None = None
    coverage: float | None = None


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
    """Checks every gate, also after one has failed: examples, loss, recall, index recall, coverage.

    A gate whose number was not measured passes and says so; a number that is NaN never passes.
    """
    return [
        _at_least("examples", measured.examples, gates.min_examples, "gates.min_examples"),
        _finite_loss(measured.loss),
        _recall(gates, measured),
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


def _finite_loss(loss: float | None) -> GateResult:
    if loss is None:
        return _not_applied("loss", "it was not measured: nothing was trained")
    passed = math.isfinite(loss)
    required = "a finite number is required"
    return GateResult("loss", passed, loss, None, f"loss: {_shown(loss)}, {required}")


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


def _not_applied(name: str, why: str) -> GateResult:
    return GateResult(name, True, None, None, f"{name}: {why}")


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
