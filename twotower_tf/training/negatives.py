"""What batches bring of items beside their own, by the configuration."""

import datetime

import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.examples.items.catalogue_reader import load_catalogue
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.storage import Workdir
from twotower_tf.training.hard_negatives import HardNegatives
from twotower_tf.training.uniform_items import with_uniform_items


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
        """Returns the batches with the uniform draws from a day's catalogue that losses need.

        They are for the loss of the examples, and for that of items alone (``self_supervised``).
        """
        contrast = self._model.contrast
        if not self._model.batch_loss.needs_negatives and contrast is None:
            return batches
        catalogue = load_catalogue(self._workdir, self._config, day)
        step = int(self._model.optimizer.iterations)
        if self._model.batch_loss.needs_negatives:
            count, seed = self._config.negatives.uniform_draws, self._config.seed
            batches = with_uniform_items(batches, catalogue, count, seed, step)
        if contrast is None:
            return batches
        contrast.set_catalogue(catalogue)
        return with_uniform_items(
            batches, catalogue, contrast.batch_size, contrast.seed, step, "contrasted_items"
        )
