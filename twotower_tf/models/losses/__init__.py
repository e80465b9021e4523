"""The losses, one a file, interchangeable by ``loss.kind`` of the configuration."""

from twotower_tf.models.losses.corrected_softmax import CorrectedSoftmax
from twotower_tf.models.losses.corrected_softmax_by_example import CorrectedSoftmaxByExample
from twotower_tf.models.losses.in_batch import InBatchSoftmax
from twotower_tf.models.losses.plain_softmax import PlainSoftmax

# What `loss.kind` may be.
LOSSES: dict[str, type[InBatchSoftmax]] = {
    "corrected_softmax": CorrectedSoftmax,
    "corrected_softmax_by_example": CorrectedSoftmaxByExample,
    "plain_softmax": PlainSoftmax,
}
