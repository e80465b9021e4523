"""Sizes that a configuration leaves to the data: of embedding tables, of batches.

They are chosen once, when a model starts, and kept in the work directory: a model's shapes never
change after that.
"""

import datetime
from collections.abc import Callable

import tensorflow as tf

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.config.features import CatalogueVocabulary
from twotower_tf.config.open_sizes import batch_size_of, buckets_of
from twotower_tf.config.registries import FEATURE_KINDS
from twotower_tf.examples.items.catalogue_reader import latest_catalogue, whole_catalogue
from twotower_tf.graph.hashing import fingerprint
from twotower_tf.models.embeddings import EmbeddingTable
from twotower_tf.models.inference import as_tensors
from twotower_tf.storage import Workdir


def with_sizes(
    config: Config,
    workdir: Workdir,
    last_day: Callable[[], datetime.date | None],
    kind: str = storage.EXAMPLES,
) -> Config:
    """Returns the configuration with a number for every size that it leaves out.

    Args:
        config: The configuration.
        workdir: Where the sizes are kept, once chosen.
        last_day: Gives the last day of those that a model starts with, by which sizes are chosen;
            None while these are not built. It is asked only if there is something to choose.
        kind: Of the examples that the model is trained on.
    """
    if not _is_open(config):
        return config
    path = workdir.path(storage.SIZES[kind])
    sizes = storage.read_json(path)
    if sizes is None and (day := last_day()) is not None:
        sizes = _chosen(config, workdir, day, kind)
        storage.write_json(path, sizes)
    return _filled(config, sizes or _nothing_known(config))


def _is_open(config: Config) -> bool:
    tables = config.tables.values()
    return config.training.batch_size is None or any(
        table.buckets is None or table.dim is None or _rows_open(table.vocabulary)
        for table in tables
    )


def _rows_open(vocabulary) -> bool:
    return isinstance(vocabulary, CatalogueVocabulary) and vocabulary.rows is None


def _filled(config: Config, sizes: dict) -> Config:
    tables = {}
    for name, table in config.tables.items():
        vocabulary = table.vocabulary
        if _rows_open(vocabulary):
            vocabulary = vocabulary.model_copy(update={"rows": sizes["items"]})
        buckets = sizes["buckets"][name] if table.buckets is None else table.buckets
        tables[name] = table.model_copy(
            update={
                "vocabulary": vocabulary,
                "buckets": buckets,
                "dim": table.dim or config.candidate.dimension,
            }
        )
    batch_size = config.training.batch_size or sizes["batch_size"]
    training = config.training.model_copy(update={"batch_size": batch_size})
    return config.model_copy(update={"tables": tables, "training": training})


def _nothing_known(config: Config) -> dict:
    buckets = dict.fromkeys(config.tables, buckets_of(0))
    return {"items": 1, "buckets": buckets, "batch_size": batch_size_of(0)}


def _chosen(config: Config, workdir: Workdir, day: datetime.date, kind: str) -> dict:
    catalogue = whole_catalogue(latest_catalogue(workdir, day), config)
    raw = as_tensors(catalogue)
    ids: dict[str, list[tf.Tensor]] = {name: [] for name in config.tables}
    for feature in config.candidate.features:
        if getattr(feature, "table", None) is not None:
            recorded = _Recorded(feature.table)
            FEATURE_KINDS.make(feature, {feature.table: recorded}, 0).rows(raw)
            ids[feature.table] += recorded.prints
    examples = [
        workdir.partition(kind, one).manifest()["counts"]["examples"]
        for one in workdir.days(kind)
        if one <= day
    ]
    return {
        "items": len(catalogue),
        "buckets": {name: _buckets(prints) for name, prints in ids.items()},
        "batch_size": batch_size_of(sum(examples)),
    }


def _buckets(prints: list[tf.Tensor]) -> int:
    if not prints:
        return buckets_of(None)
    return buckets_of(int(tf.size(tf.unique(tf.concat(prints, axis=0))[0])))


class _Recorded(EmbeddingTable):
    """A table that notes which ids are looked up."""

    def __init__(self, name: str):
        super().__init__(buckets=1, dim=1, name=name)
        self.prints: list[tf.Tensor] = []

    def rows(self, ids: tf.Tensor) -> tf.Tensor:
        self.prints.append(tf.reshape(fingerprint(ids), [-1]))
        return super().rows(ids)
