"""What batches bring of negatives beside their own items, by the configuration."""

import datetime

import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.examples.items.catalogue_reader import load_catalogue
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.storage import Workdir
from twotower_tf.training.hard_negatives import HardNegatives
from twotower_tf.training.uniform_negatives import with_uniform_negatives


class Negatives:
    """Adds uniform and hard negatives to the batches that a model is to be trained on.

    Args:
        config: Says which.
        workdir: Has the catalogues they are taken from.
        model: Takes them, and finds the hard ones.
    """

    def __init__(self, config: Config, workdir: Workdir, model: TwoTowerModel):
        self._config, self._workdir, self._model = config, workdir, model
        self._hard = HardNegatives(config, model) if config.negatives.hard else None

    def add_hard(
        self, batches: tf.data.Dataset, examples: int, day: datetime.date
    ) -> tf.data.Dataset:
        """Returns the batches with hard negatives by the model as it is, if it is to have any.

        Args:
            batches: The same each time they are read.
            examples: How many they hold.
            day: Whose catalogue they are taken from.
        """
        step = int(self._model.optimizer.iterations)
        # What a model without a step of training finds is near to nothing.
        if self._hard is None or not step:
            return batches
        catalogue = load_catalogue(self._workdir, self._config, day)
        return self._hard.add_to(batches, examples, catalogue, step)

    def add_uniform(self, batches: tf.data.Dataset, day: datetime.date) -> tf.data.Dataset:
        """Returns the batches with uniform draws from a day's catalogue, if the loss needs them."""
        if not self._model.batch_loss.needs_negatives:
            return batches
        return with_uniform_negatives(
            batches,
            load_catalogue(self._workdir, self._config, day),
            self._config.negatives.uniform_draws,
            self._config.seed,
            first_step=int(self._model.optimizer.iterations),
        )
