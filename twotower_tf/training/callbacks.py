"""What happens between training steps: progress, and TensorBoard's scalars."""

import time
from collections.abc import Callable, Mapping

import tensorflow as tf

_STEPS_BETWEEN_SCALARS = 50


class ShowProgress(tf.keras.callbacks.Callback):
    """Advances a progress display by a batch's examples."""

    def __init__(self, shown, batch_size: int, examples: int):
        super().__init__()
        self._shown, self._batch_size, self._left = shown, batch_size, examples

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        count = min(self._batch_size, self._left)
        self._left -= count
        self._shown.advance(count)


class MeasureSpeed(tf.keras.callbacks.Callback):
    """Measures how fast a day is trained on once it goes: the first step is traced, and left out.

    Args:
        batch_size: Examples per batch.
        examples: The day's.
    """

    def __init__(self, batch_size: int, examples: int):
        super().__init__()
        self._left = examples - batch_size
        self._start = 0.0
        self.examples_per_second: float | None = None

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        if batch == 0:
            self._start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        if self._left > 0:
            self.examples_per_second = self._left / (time.monotonic() - self._start)


class WriteScalars(tf.keras.callbacks.Callback):
    """Writes the loss, and what else a model has to say of a day, for TensorBoard, by global step.

    Args:
        folder: Where TensorBoard looks.
        of_day: Gives scalars by their tags, at the end of a day.
    """

    def __init__(self, folder: str, of_day: Callable[[], Mapping[str, float]]):
        super().__init__()
        self._of_day = of_day
        self._writer = tf.summary.create_file_writer(folder)

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        if batch % _STEPS_BETWEEN_SCALARS == 0:
            with self._writer.as_default(step=self.model.optimizer.iterations):
                tf.summary.scalar("loss/batch", logs["loss"])

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        with self._writer.as_default(step=self.model.optimizer.iterations):
            tf.summary.scalar("loss/day", self.model.mean_loss.result())
            for tag, value in self._of_day().items():
                tf.summary.scalar(tag, value)
        self._writer.flush()
