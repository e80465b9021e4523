"""Work directories with days of impressions made by hand."""

import datetime
import json
import os

import numpy as np
import tensorflow as tf

from tests.example_records import example_record
from tests.ranking_batches import ITEMS, batch_of, channel_of
from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.examples.encoding.tfrecord import write_records
from twotower_tf.examples.items import catalogue
from twotower_tf.storage import RANKING, Workdir

FIRST = datetime.date(2026, 3, 1)
DAYS = [FIRST + datetime.timedelta(days=number) for number in range(5)]


def records_of(batch: dict) -> list[bytes]:
    """Returns the examples that a batch is parsed from."""
    columns = {}
    for name, value in batch.items():
        if isinstance(value, dict):
            columns |= {f"{name}/{key}": one for key, one in value.items()}
        else:
            columns[name] = value
    records = []
    for row in range(len(batch["item_id"])):
        texts, floats, integers = {}, {}, {}
        for key, values in columns.items():
            is_list = isinstance(values, tf.RaggedTensor)
            of_row = values[row].numpy().tolist() if is_list else [values[row].numpy()]
            kinds = {tf.string: texts, tf.float32: floats, tf.int64: integers}
            kinds[values.dtype][key] = of_row
        records.append(example_record({**texts, "seed_item_id": [b""]}, floats, integers))
    return records


def write_catalogue(workdir: Workdir, config: Config, folder, day: datetime.date = FIRST) -> None:
    """Publishes the catalogue of a day."""
    items = [
        {"item_id": item, "channel": channel_of(item), "length": number}
        for number, item in enumerate(ITEMS)
    ]
    source = os.path.join(str(folder), "items.jsonl")
    with open(source, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(item) + "\n" for item in items)
    parsed = catalogue.parse_catalogue([SourceFile(source, "jsonl")], str(folder), config)
    manifest = {"shards": [{"file": catalogue.FILE}]}
    with workdir.partition(catalogue.KIND, day).write(manifest) as staging:
        catalogue.write_catalogue(parsed, os.path.join(staging, catalogue.FILE))


def write_day(workdir: Workdir, day: datetime.date, count: int = 60, held_out: int = 40) -> None:
    """Publishes a day's ranking examples, two files of each split."""
    counts = {"examples": count, "held_out": held_out}
    manifest = {"counts": counts, "shards": []}
    with workdir.partition(RANKING, day).write(manifest) as folder:
        for split, size in (("train", count), ("eval", held_out)):
            seed = 2 * day.toordinal() + (split == "eval")
            records = records_of(batch_of(seed, size)) if size else []
            for shard in range(2):
                name = f"{split}-{shard:05d}-of-00002.tfrecord.gz"
                written = write_records(f"{folder}/{name}", records[shard::2])
                manifest["shards"].append({"file": name, "records": written})


def variables_of(partition) -> dict[str, np.ndarray]:
    """Returns all that a checkpoint holds, by name."""
    reader = tf.train.load_checkpoint(partition.file("checkpoint"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
