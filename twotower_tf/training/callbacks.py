"""What happens between training steps: progress, and TensorBoard's scalars."""

import time

import tensorflow as tf

from twotower_tf.models.two_tower import TwoTowerModel

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
    """Writes loss, temperature and the health of the sketch for TensorBoard, by global step.

    Args:
        folder: Where TensorBoard looks.
    """

    def __init__(self, folder: str):
        super().__init__()
        self._writer = tf.summary.create_file_writer(folder)

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        if batch % _STEPS_BETWEEN_SCALARS == 0:
            with self._writer.as_default(step=self.model.optimizer.iterations):
                tf.summary.scalar("loss/batch", logs["loss"])

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        with self._writer.as_default(step=self.model.optimizer.iterations):
            tf.summary.scalar("loss/day", self.model.mean_loss.result())
            if self.model.mean_contrast_loss is not None:
                loss = self.model.mean_contrast_loss.result()
                tf.summary.scalar("self_supervised_loss/day", loss)
            temperature = self.model.batch_loss.temperature
            if temperature is not None:
                tf.summary.scalar("temperature", temperature)
            for name, value in sketch_health(self.model).items():
                tf.summary.scalar(f"sketch/{name}", value)
        self._writer.flush()


def sketch_health(model: TwoTowerModel) -> dict[str, float]:
    """Returns what tells whether the sketch is large enough: see docs/estimator.md."""
    return {
        "touched_share": float(model.estimator.touched_share()),
        "mean_gap": float(model.estimator.mean_gap()),
        "distinct_share": float(model.distinct_share.result()),
    }
