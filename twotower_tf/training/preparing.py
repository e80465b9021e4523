"""What a model takes from the data as a whole, before its first step."""

import datetime
from collections.abc import Sequence

from twotower_tf.config import Config
from twotower_tf.config.features import CatalogueVocabulary
from twotower_tf.examples import statistics
from twotower_tf.examples.items.catalogue_reader import distinct_ids, latest_catalogue
from twotower_tf.models.compiled_model import CompiledModel
from twotower_tf.storage import Workdir
from twotower_tf.training.listed_items import warn_of_unknown_items


def prepare(
    model: CompiledModel, config: Config, workdir: Workdir, days: Sequence[datetime.date]
) -> None:
    """Sets the statistics of a model's features, and which ids its tables list.

    The statistics' window ends with the first day that has examples, or with the backfill,
    whatever was built since: so training day by day and catching up make the same model.

    Args:
        model: Has ``query_tower``, ``candidate_tower`` and ``tables``.
        config: With all sizes.
        workdir: Has the statistics and catalogues.
        days: Those that the model starts with.
    """
    if statistics.are_needed(config):
        window = statistics.of_window(workdir, config, days[-1], len(days))
        for side in ("query", "candidate"):
            tower = getattr(model, f"{side}_tower")
            names = [encoder.name for encoder in tower.adaptable]
            tower.adapt({name: window.dense[f"{side}/{name}"] for name in names})
        for name, size in statistics.built_vocabularies(config).items():
            model.tables[name].set_vocabulary(window.vocabulary(name, size))
    warn_of_unknown_items(config, workdir, days[-1])
    tables = {
        name: table.vocabulary.rows
        for name, table in config.tables.items()
        if isinstance(table.vocabulary, CatalogueVocabulary)
    }
    if tables:
        item_ids = distinct_ids(latest_catalogue(workdir, days[-1]))
        for name, rows in tables.items():
            model.tables[name].set_vocabulary(item_ids[:rows])
