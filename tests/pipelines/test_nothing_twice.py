"""What a nightly call reads and computes: each record once, and no more as days go by."""

import collections
import datetime

import pytest

import twotower_tf  # noqa: F401

# isort: split
import tensorflow as tf

from twotower_tf.examples import counts
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.models.inference import TowerInference

FIRST = datetime.date(2024, 3, 1)
# Not the first nights, on which the windows of the counts are not full yet.
NIGHTS = (9, 30)


@pytest.fixture
def passed(monkeypatch):
    """How much passes: records parsed by split, files of counts by name, rows embedded by tower."""
    found = collections.Counter()
    read, read_counts = ExampleReader.read, counts.read
    embed_items, embed_batches = TowerInference.embed_items, TowerInference.embed_batches

    def reading(self, partition, split, batch_size):
        def count(batch):
            found.update({f"{split} records": len(batch)})

        def passing(batch):
            tf.numpy_function(count, [batch["item_id"]], [])
            return batch

        return read(self, partition, split, batch_size).map(passing)

    def reading_counts(path):
        found[path.rsplit("/", 1)[-1]] += 1
        found["counts read twice"] += found[path] > 0
        found[path] += 1
        return read_counts(path)

    def embedding(self, catalogue, batch_size):
        found["items embedded"] += len(catalogue)
        return embed_items(self, catalogue, batch_size)

    def embedding_queries(self, batches):
        found["queries embedded"] += sum(int(batch["device"].shape[0]) for batch in batches)
        return embed_batches(self, batches)

    monkeypatch.setattr(ExampleReader, "read", reading)
    monkeypatch.setattr(counts, "read", reading_counts)
    monkeypatch.setattr(TowerInference, "embed_items", embedding)
    monkeypatch.setattr(TowerInference, "embed_batches", embedding_queries)
    return found


@pytest.mark.long
def test_a_nightly_call_reads_and_embeds_the_same_on_the_ninth_day_and_on_the_thirtieth(
    site, day_events, passed
):
    days = [FIRST + datetime.timedelta(days=number) for number in range(max(NIGHTS))]
    site.values["source"]["items"]["columns"] = {"title": "name"}
    for day in days:
        site.write_day(day, day_events(day))
    first = 0
    for night in NIGHTS:
        flags = [f"--start={days[first]}", f"--end={days[night - 2]}"]
        assert site.run("run_daily", *flags).status == 0
        passed.clear()
        run = site.run("run_daily", f"--date={days[night - 1]}")
        assert run.status == 0, run.err
        first = night
        found = {name: number for name, number in passed.items() if "/" not in name}
        of_day = site.manifest("examples", days[night - 1])
        assert found.pop("train records") == of_day["counts"]["examples"] > 100
        # For both protocols and the measurement of the index together.
        assert found.pop("eval records") == of_day["counts"]["held_out"] > 10
        # By two models, before and after the day, and by each of these once.
        assert found.pop("items embedded") == 2 * 25
        found.pop("queries embedded")
        # The parts of two shards; the window of the coverage; of it, that of the baselines.
        assert found == {
            "00000.parquet": 1,
            "00001.parquet": 1,
            "items.parquet": 7,
            "pairs.parquet": 3,
            "counts read twice": 0,
        }
