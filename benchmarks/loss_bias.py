"""How far the mean gradient of each in-batch softmax is from the full softmax's.

A made-up training set: examples whose items have Zipf popularity in a catalogue, and whose query
is near to its item. All is known, so the gradient of the full softmax's loss over the whole
catalogue is computed exactly. Many batches are drawn, and each loss's gradient with respect to
the item embeddings is averaged over them:

    bias = |mean gradient - full softmax's| / |full softmax's|

with the standard error that the finite number of batches leaves in it, and

    weight = mean of 1 - P(y_i | x_i),

the weight with which the loss lets an example pull its item: minus the own item's part of the
gradient. The same bias over rare items alone, those of one example or none, tells of the tail.

    python -m benchmarks.loss_bias --out=loss_bias.json
"""

import argparse
import dataclasses
import json
import time

import numpy as np

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from twotower_tf.models.candidates import distinct_items
from twotower_tf.models.losses.batch_loss import BatchLoss
from twotower_tf.models.losses.in_batch import (
    CorrectedSoftmax,
    CorrectedSoftmaxByExample,
    CorrectedSoftmaxByExampleMasked,
    MixedSoftmax,
    PlainSoftmax,
    probability_by_either_route,
)
from twotower_tf.models.losses.refined_softmax import RefinedSoftmax

KINDS = {
    "plain_softmax": PlainSoftmax,
    "corrected_softmax_by_example": CorrectedSoftmaxByExample,
    "corrected_softmax_by_example_masked": CorrectedSoftmaxByExampleMasked,
    "corrected_softmax": CorrectedSoftmax,
    "refined_softmax": RefinedSoftmax,
    "mixed_softmax": MixedSoftmax,
}


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """Examples, and the model's embeddings of their queries and of all items.

    Attributes:
        queries: float64 [M, d], unit vectors, one an example.
        items: float64 [N, d], unit vectors, of the whole catalogue.
        item_of: int64 [M] in [0, N), each example's item.
        temperature: tau.
    """

    queries: np.ndarray
    items: np.ndarray
    item_of: np.ndarray
    temperature: float

    def full_softmax(self) -> tuple[np.ndarray, float]:
        """The exact gradient with respect to `items`, [N, d], and the mean of 1 - P(y_i | x_i)."""
        logits = self.queries @ self.items.T / self.temperature
        error = np.exp(logits - logits.max(axis=1, keepdims=True))
        error /= error.sum(axis=1, keepdims=True)
        own = np.arange(len(self.queries)), self.item_of
        error[own] -= 1
        gradient = error.T @ self.queries / len(self.queries) / self.temperature
        return gradient, float(-error[own].mean())

    def probabilities(self, batch_size: int) -> np.ndarray:
        """The probability that a batch has an item: [N], 0 for items of no example."""
        shares = np.bincount(self.item_of, minlength=len(self.items)) / len(self.queries)
        return 1 - (1 - shares) ** batch_size


def make_training_set(
    items: int,
    examples: int,
    exponent: float,
    temperature: float,
    noise: float = 1.0,
    seed: int = 0,
    dim: int = 16,
) -> TrainingSet:
    """Makes examples: items drawn by rank^-exponent, queries their embeddings plus noise."""
    random = np.random.default_rng(seed)
    v = _unit(random.normal(size=(items, dim)))
    popularity = np.arange(1, items + 1) ** -exponent
    item_of = random.choice(items, examples, p=popularity / popularity.sum())
    u = _unit(v[item_of] + noise * random.normal(size=(examples, dim)) / np.sqrt(dim))
    return TrainingSet(u, v, item_of, temperature)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Gradients:
    """Computes a loss's gradient, with respect to all items, of given batches."""

    def __init__(self, data: TrainingSet, loss: BatchLoss, batch_size: int, negatives: int):
        self._loss = loss
        self._u, self._v = tf.constant(data.queries), tf.constant(data.items)
        self._item_of = tf.constant(data.item_of)
        self._draws = negatives if loss.needs_negatives else 0
        probabilities = tf.constant(data.probabilities(batch_size))
        if loss.needs_negatives:
            probabilities = probability_by_either_route(probabilities, negatives, len(data.items))
        self._probabilities = probabilities
        self._step = tf.function(self._gradient, reduce_retracing=True)

    def __call__(self, examples: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, float]:
        """The gradient [N, d] of a batch of examples, and the mean weight of its positives."""
        gradient, weight = self._step(tf.constant(examples), tf.constant(drawn[: self._draws]))
        return gradient.numpy(), float(weight)

    def _gradient(self, examples: tf.Tensor, drawn: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        candidates = tf.concat([tf.gather(self._item_of, examples), drawn], axis=0)
        places, first = distinct_items(candidates)
        columns = tf.gather(candidates, first)
        positives = places[: tf.size(examples)]
        queries = tf.gather(self._u, examples)
        # Unit matrix times cosines gives the same logits, and the gradient of every one of them.
        cosines = tf.matmul(queries, tf.gather(self._v, columns), transpose_b=True)
        unit = tf.eye(tf.size(columns), dtype=cosines.dtype)
        rewards = tf.ones_like(examples, cosines.dtype)
        with tf.GradientTape() as tape:
            tape.watch(cosines)
            value = self._loss(
                cosines, unit, positives, rewards, tf.gather(self._probabilities, columns)
            )
        error = tape.gradient(value, cosines)
        weight = -tf.reduce_sum(tf.gather(error, positives, axis=1, batch_dims=1))
        gradient = tf.matmul(error, queries, transpose_a=True)
        return tf.math.unsorted_segment_sum(gradient, columns, tf.shape(self._v)[0]), weight


def measure(
    data: TrainingSet, batch_size: int, batches: int, negatives: int, seed: int = 1
) -> dict[str, dict[str, float]]:
    """Each loss's bias, its standard error, the bias over rare items, and the weight.

    Args:
        data: What batches are drawn from, examples independent of each other.
        batch_size: B.
        batches: How many are drawn; all losses get the same.
        negatives: N', the uniform draws beside each batch, for `MixedSoftmax` alone.
        seed: Of the draws.

    Returns:
        By kind of loss, ``full_softmax`` too: numbers relative to the full softmax's gradient,
        but ``weight``, which is in [0, 1].
    """
    random = np.random.default_rng(seed)
    gradients = {
        kind: Gradients(data, loss(data.temperature), batch_size, negatives)
        for kind, loss in KINDS.items()
    }
    sums, squares = ({kind: np.zeros_like(data.items) for kind in KINDS} for _ in range(2))
    weights = dict.fromkeys(KINDS, 0.0)
    for _ in range(batches):
        examples = random.integers(0, len(data.queries), batch_size)
        drawn = random.integers(0, len(data.items), negatives)
        for kind, gradient in gradients.items():
            value, weight = gradient(examples, drawn)
            sums[kind] += value
            squares[kind] += value**2
            weights[kind] += weight * data.temperature / batches
    full, full_weight = data.full_softmax()
    rare = np.bincount(data.item_of, minlength=len(data.items)) <= 1
    result = {"full_softmax": {"weight": full_weight}}
    for kind in KINDS:
        mean = sums[kind] / batches
        variance = (squares[kind] / batches - mean**2).sum() / batches
        result[kind] = {
            "bias": float(_relative(mean - full, full)),
            "standard_error": float(np.sqrt(variance) / np.linalg.norm(full)),
            "bias_of_rare": float(_relative((mean - full)[rare], full[rare])),
            "weight": weights[kind],
        }
    return result


def _relative(difference: np.ndarray, to: np.ndarray) -> float:
    return np.linalg.norm(difference) / np.linalg.norm(to)


def main() -> None:
    """Measures several batch sizes and writes the numbers as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="loss_bias.json")
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--examples", type=int, default=3000)
    parser.add_argument("--exponent", type=float, default=0.8)
    parser.add_argument("--temperature", type=float, default=0.15)
    parser.add_argument("--batches", type=int, default=3000)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[32, 128, 512])
    flags = parser.parse_args()
    data = make_training_set(flags.items, flags.examples, flags.exponent, flags.temperature)
    start = time.monotonic()
    report = {"settings": {k: v for k, v in vars(flags).items() if k != "out"}, "batch_size": {}}
    for batch_size in flags.batch_sizes:
        # As many uniform negatives as examples.
        numbers = measure(data, batch_size, flags.batches, negatives=batch_size)
        report["batch_size"][batch_size] = numbers
        print(f"batch of {batch_size}")
        for kind, number in numbers.items():
            shown = "  ".join(f"{name} {value:.4f}" for name, value in number.items())
            print(f"  {kind:38}{shown}", flush=True)
    report["seconds"] = time.monotonic() - start
    with open(flags.out, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)


if __name__ == "__main__":
    main()
