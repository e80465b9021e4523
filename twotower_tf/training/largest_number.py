"""The largest number among examples: what a loss that is not finite mostly comes of."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

# Squares of such numbers, and sums of those, are far from the end of float32.
_HARMLESS = 1e9


@dataclasses.dataclass(frozen=True)
class LargestNumber:
    """The number of the largest size.

    Attributes:
        value: It.
        feature: ``<tower>/<name>`` of the feature that it is of.
        item_id: The item of its example.
    """

    value: float
    feature: str
    item_id: str

    def __str__(self) -> str:
        return f"{self.feature} is {self.value:g} in an example of item '{self.item_id}'"


def largest_number(batches: Iterable[dict]) -> LargestNumber | None:
    """Returns the largest number, by its size, of examples as of ``ExampleReader.read``.

    Of several the first. None: no number is larger than 1e9.
    """
    largest, most = None, _HARMLESS
    for batch in batches:
        for tower, features in batch.items():
            for name, values in features.items() if isinstance(features, dict) else ():
                if values.dtype == tf.float32:
                    row, value = _largest_of(values)
                    if not abs(value) <= most:
                        item_id = batch["item_id"][row].numpy().decode()
                        largest = LargestNumber(value, f"{tower}/{name}", item_id)
                        most = abs(value)
    return largest


def _largest_of(values: tf.Tensor | tf.RaggedTensor) -> tuple[int, float]:
    """Returns the row of a batch that holds its largest number, and the number."""
    if isinstance(values, tf.RaggedTensor):
        rows, flat = values.value_rowids().numpy(), values.flat_values.numpy()
    else:
        flat = values.numpy()
        rows = np.repeat(np.arange(len(flat)), flat[:1].size or 1)
        flat = flat.reshape(-1)
    if not len(flat):
        return 0, 0.0
    place = int(np.abs(flat).argmax())
    return int(rows[place]), float(flat[place])
