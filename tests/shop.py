"""A small shop with a model of all kinds of features, and its releases."""

import datetime
import json
import os

import numpy as np

from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.examples.items import catalogue
from twotower_tf.examples.items.catalogue_reader import load_catalogue
from twotower_tf.storage import Workdir

DAY = datetime.date(2026, 11, 20)
ITEMS = 300
CONFIGURATION = {
    "name": "shop",
    "source": {
        "events": {"path": "e.csv", "columns": {"seed_item_id": "seed_item_id"}},
        "items": {"path": "items.jsonl", "columns": {"item_id": "sku", "title": "title"}},
    },
    "tables": {"items": {"buckets": 2000, "dim": 8}, "words": {"buckets": 500, "dim": 8}},
    "query": {
        "features": [
            {"name": "seed", "column": "seed_item_id", "kind": "id", "table": "items"},
            {"name": "history", "kind": "id_bag", "table": "items", "max_length": 3},
            {
                "name": "searches",
                "column": "search_words",
                "kind": "weighted_id_bag",
                "table": "words",
                "weights": "search_weights",
            },
            {"name": "device", "kind": "category", "values": ["phone", "tv"]},
            {"name": "hour", "kind": "dense", "normalise": "none", "default": 0.5},
            {"name": "mood", "kind": "vector", "length": 3, "normalise": True},
        ],
        "layers": [16, 16],
    },
    "candidate": {
        "features": [
            {"name": "item_id", "column": "sku", "kind": "id", "table": "items"},
            {"name": "title", "kind": "text", "table": "words"},
            {"name": "topics", "kind": "id_bag", "table": "words", "max_length": 2},
            {"name": "price", "kind": "dense", "normalise": "none", "default": 0.25},
            {"name": "cover", "kind": "vector", "length": 4, "projection": 2},
            {"name": "item_age", "kind": "age", "since": "published_at", "serving_days": 2},
        ],
        "layers": [16, 16],
    },
    "evaluation": {"batch_size": 64},
    "index": {"default_k": 7, "recall_at": 20},
}


def items_of_shop(count: int = ITEMS) -> list[dict]:
    """Returns catalogue records; some lack a title, topics, a cover or a price."""
    rng = np.random.default_rng(3)
    records = []
    for n in range(count):
        record = {"sku": f"ключ-{n}" if n % 2 else f"item-{n}"}
        record["topics"] = [f"t{t}" for t in rng.integers(20, size=n % 4)]
        if n % 3:
            record["title"] = f"title {n}"
        if n % 4:
            record["cover"] = [n % 7 - 3, n % 5, 0.5, -1.0]
        price = rng.random()
        if n % 5:
            record["price"] = price
        records.append(record)
    return records


class Shop:
    """A work directory with a catalogue, a model that was never trained, and releases of it."""

    def __init__(self, folder):
        from twotower_tf.models.two_tower import TwoTowerModel

        self.folder = folder
        self.config = Config.model_validate(CONFIGURATION)
        self.workdir = Workdir(str(folder / "work"))
        self.model = TwoTowerModel.from_config(self.config)
        self.catalogue = self.catalogue_of(items_of_shop())
        self._released = {}

    def config_of(self, kind: str, nominators: tuple[str, ...] = ("index",)) -> Config:
        """Returns the configuration of a release of its own, named as its kind of index.

        With nominators beside the index, also as these.
        """
        index = {**CONFIGURATION["index"], "kind": kind}
        name = "_".join([kind, *nominators[1:]])
        told = {"name": name, "index": index, "nominators": list(nominators)}
        return Config.model_validate({**CONFIGURATION, **told})

    def catalogue_of(self, records: list[dict]):
        """Returns the catalogue that records make, parsed as a build does."""
        source = self.folder / "items.jsonl"
        source.write_text("".join(json.dumps(record) + "\n" for record in records))
        files = [SourceFile(str(source), "jsonl")]
        parsed = catalogue.parse_catalogue(files, str(self.folder), self.config)
        assert not parsed.rejected
        manifest = {"shards": [{"file": catalogue.FILE}]}
        with self.workdir.partition(catalogue.KIND, DAY).write(manifest) as staging:
            catalogue.write_catalogue(parsed, os.path.join(staging, catalogue.FILE))
        return load_catalogue(self.workdir, self.config, DAY)

    def release(self, kind: str, nominators: tuple[str, ...] = ("index",), blend=None):
        """Returns the release of the whole catalogue with a kind of index, made once.

        Args:
            kind: The kind of index.
            nominators: Their kinds.
            blend: Puts what they propose on one scale.
        """
        from twotower_tf.releases import releases
        from twotower_tf.releases.build import build_index

        config = self.config_of(kind, nominators)
        if config.name not in self._released:
            self.catalogue_of(items_of_shop())
            built = build_index(config, self.workdir, self.model, DAY, None, blend=blend)
            assert built.metrics["kind"] == kind
            published = releases.publish(self.workdir, config.name, DAY, built.save, {})
            self._released[config.name] = published
        return self._released[config.name]

    def vectors(self, items) -> dict[str, np.ndarray]:
        """Returns the vectors of a catalogue's items by id, by the trainer's own tower."""
        from twotower_tf.models.inference import as_tensors

        embeddings = self.model.candidate_tower(as_tensors(items)).numpy().astype(np.float64)
        return dict(zip(items.item_ids, embeddings, strict=True))
