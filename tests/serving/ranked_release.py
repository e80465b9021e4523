"""Small releases with ranking, and what they should say, by the models' own training paths."""

import json
import os

import numpy as np

from tests.ranking_batches import VALUES, batch_of
from tests.shop import DAY
from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.examples.items import catalogue
from twotower_tf.examples.items.catalogue_reader import load_catalogue
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf

CHANNELS = ["red", "green", "blue"]


def item_records(count: int = 12) -> list[dict]:
    """Returns rows of a catalogue; some have no channel or no length."""
    records = []
    for n in range(count):
        record = {"item_id": f"item-{n}"}
        if n % 4 != 3:
            record["channel"] = CHANNELS[n % 3]
        if n % 5:
            record["length"] = float(n)
        records.append(record)
    return records


class RankedWorld:
    """A work directory with a catalogue, and two models that learnt a little.

    Args:
        folder: Where.
        **values: Other sections of the configuration than ``tests.ranking_batches`` has.
    """

    def __init__(self, folder, **values):
        from twotower_tf.models.ranking.ranking_model import RankingModel
        from twotower_tf.models.two_tower import TwoTowerModel

        self._folder = folder
        told = {"index": {"kind": "brute_force", "default_k": 7}, **values}
        self.config = Config.model_validate({**VALUES, **told})
        self.workdir = Workdir(str(folder / "work"))
        tf.keras.utils.set_random_seed(1)
        self.model = TwoTowerModel.from_config(self.config)
        self.ranking = RankingModel.from_config(self.config)
        self.items = self.catalogue_of(item_records())
        self.ranking.item_features.set_catalogue(self.items)
        self.ranking.adapt([batch_of(seed) for seed in range(3)])
        step = tf.function(self.ranking.train_step, reduce_retracing=True, autograph=False)
        for seed in range(3):
            step(batch_of(seed))

    def catalogue_of(self, records: list[dict]):
        """Returns the catalogue of a day that records make, and publishes it."""
        path = self._folder / "i.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        parsed = catalogue.parse_catalogue(
            [SourceFile(str(path), "jsonl")], str(self._folder), self.config
        )
        manifest = {"shards": [{"file": catalogue.FILE}]}
        with self.workdir.partition(catalogue.KIND, DAY).write(manifest) as staging:
            catalogue.write_catalogue(parsed, os.path.join(staging, catalogue.FILE))
        return load_catalogue(self.workdir, self.config, DAY)

    def release(self):
        """Builds and publishes a release of the day, and returns it."""
        from twotower_tf.releases import releases
        from twotower_tf.releases.build import build_index

        built = build_index(self.config, self.workdir, self.model, DAY, None, ranking=self.ranking)
        return releases.publish(self.workdir, self.config.name, DAY, built.save, {})

    def expected(self, query: dict, impression: dict, items, scores: dict, sources: dict) -> dict:
        """Returns the expected watch time of each item of a catalogue for one request.

        Args:
            query: Raw features, one row each.
            impression: The user's and the request's, one row each.
            items: The catalogue.
            scores: Of retrieval, by item.
            sources: Nominators, by item.
        """
        from twotower_tf.models.inference import as_tensors

        ids = list(items.item_ids)

        def repeated(value):
            return tf.gather(value, np.zeros(len(ids), np.int32))

        position = float(self.ranking.candidate_numbers.least("position"))
        of_items = {
            "nomination_score": tf.constant([scores[one] for one in ids], tf.float32),
            "nomination_source": tf.constant([sources[one] for one in ids]),
            "position": tf.fill([len(ids)], position),
        }
        ranked = self.ranking.predict_batch(
            {
                "query": {name: repeated(value) for name, value in query.items()},
                "candidate": as_tensors(items),
                "impression": {n: repeated(v) for n, v in impression.items()} | of_items,
                "item_id": tf.constant(ids),
            }
        )
        return dict(zip(ids, ranked.expected_watch_seconds.numpy().tolist(), strict=True))


def vectors_of(world: RankedWorld, items) -> dict[str, np.ndarray]:
    """Returns the items' vectors by id, by the trainer's own tower."""
    from twotower_tf.models.inference import as_tensors

    vectors = world.model.candidate_tower(as_tensors(items)).numpy()
    return dict(zip(items.item_ids, vectors, strict=True))
