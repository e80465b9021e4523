"""The stock TFRS retrieval task, on the same towers: what a user of the library would write."""

import tensorflow as tf
import tensorflow_recommenders as tfrs

from benchmarks.contenders import problem as given
from benchmarks.contenders.ours import config_of, load_weights, number_of, raw_batch
from benchmarks.contenders.problem import Problem
from twotower_tf.models.two_tower import TwoTowerModel


class _StockModel(tfrs.Model):
    def __init__(self, towers: TwoTowerModel, batch: int):
        super().__init__()
        self.query_tower, self.candidate_tower = towers.query_tower, towers.candidate_tower
        self.task = tfrs.tasks.Retrieval(remove_accidental_hits=True, temperature=given.TEMPERATURE)
        self._known = tf.constant(given.inclusion_probabilities(batch))

    def compute_loss(self, batch, training=False):
        total = self.task(
            self.query_tower(batch["query"]),
            self.candidate_tower(batch["candidate"]),
            candidate_ids=batch["item_id"],
            candidate_sampling_probability=tf.gather(self._known, number_of(batch["item_id"])),
            compute_metrics=False,
        )
        # The task's default is the sum over the batch.
        return total / tf.cast(tf.size(batch["item_id"]), tf.float32)


class Contender:
    """Trains with the frequencies known: it has no estimator to ask."""

    def __init__(self, problem: Problem):
        tf.keras.utils.set_random_seed(17)
        self._problem = problem
        # A sketch of one bucket: it is not used, and should not be paid for.
        config = config_of(problem.batch, problem.layers, problem.buckets, sketch=1)
        self._towers = TwoTowerModel.from_config(config)
        self._batches = [raw_batch(numbers) for numbers in problem.batches("numbers")]
        self._start()

    def _start(self) -> None:
        load_weights(self._towers, self._problem.weights())
        self._model = _StockModel(self._towers, self._problem.batch)
        self._model.compile(
            optimizer=tf.keras.optimizers.Adagrad(
                given.LEARNING_RATE, initial_accumulator_value=given.INITIAL_ACCUMULATOR
            )
        )
        self._step = tf.function(self._model.train_step, reduce_retracing=True)
        self._steps = 0

    def losses(self, steps: int) -> list[float]:
        """Of the first steps; then starts anew."""
        losses = [float(self._step(batch)["loss"]) for batch in self._batches[:steps]]
        self._start()
        return losses

    def step(self) -> None:
        """One training step."""
        batch = self._batches[self._steps % len(self._batches)]
        self._steps += 1
        self._step(batch)["loss"].numpy()
