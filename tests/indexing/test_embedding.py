"""Embedding inference: Beam and this process, shards, broken vectors, what others can load."""

import datetime
import hashlib
import json
import os
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower_tf.config import Config
from twotower_tf.errors import JobError
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.value_types.lists import Lists
from twotower_tf.indexing.candidates import embedding, embedding_shards
from twotower_tf.indexing.candidates.embedding import (
    CatalogueEmbedder,
    Embedded,
    embed_by_beam,
    embed_here,
    publish_embeddings,
)
from twotower_tf.indexing.candidates.embedding_files import read_embeddings
from twotower_tf.indexing.candidates.item_hashes import item_hashes
from twotower_tf.indexing.candidates.selection import Selected
from twotower_tf.storage import Partition, Workdir

# isort: split
import tensorflow as tf

from twotower_tf.models.inference import TowerInference
from twotower_tf.models.two_tower import TwoTowerModel

DAY = datetime.date(2026, 11, 20)
ITEMS, GROUP, BATCH = 1000, 160, 7
# The third and the last row group are not selected at all.
ROWS = np.array([n for n in range(960) if n % 3 and not 320 <= n < 480])


def _config(**settings) -> Config:
    return Config.model_validate(
        {
            "name": "shop",
            "source": {"events": {"path": "e.csv"}, "items": {"path": "i.csv"}},
            "tables": {"t": {"buckets": 500, "dim": 16}},
            "query": {"features": [{"name": "u", "kind": "id", "table": "t"}], "layers": [24]},
            "candidate": {
                "features": [
                    {"name": "item_id", "kind": "id", "table": "t"},
                    {"name": "title", "kind": "text", "table": "t"},
                    {"name": "tags", "kind": "weighted_id_bag", "table": "t", "weights": "w"},
                    {"name": "price", "kind": "dense", "normalise": "none"},
                    {"name": "age", "kind": "age", "since": "listed", "serving_days": 2},
                ],
                "layers": [40, 24],
            },
            "embedding": {"batch_size": BATCH, "beam_from_items": 1, **settings},
        }
    )


def _columns() -> dict:
    rng = np.random.default_rng(5)
    lists = [[f"t{t}" for t in rng.integers(50, size=n % 4)] for n in range(ITEMS)]
    return {
        "item_id": [f"é{n:04d}" for n in range(ITEMS)],
        "published_at": pa.array([None] * ITEMS, pa.int64()),
        "candidate/item_id": [f"é{n:04d}" for n in range(ITEMS)],
        "candidate/title": [f"title {n % 17} of {n}" if n % 5 else "" for n in range(ITEMS)],
        "candidate/tags": pa.array(lists, pa.list_(pa.string())),
        "candidate/tags_weights": pa.array(
            [rng.random(len(tags)).tolist() for tags in lists], pa.list_(pa.float64())
        ),
        "candidate/price": rng.random(ITEMS),
        "candidate/age": pa.array([None] * ITEMS, pa.int64()),
    }


def _workdir(root, **changes) -> Workdir:
    workdir = Workdir(str(root))
    manifest = {"shards": [{"file": "items.parquet"}]}
    with workdir.partition("catalogue", DAY).write(manifest) as folder:
        table = pa.table(_columns() | changes)
        pq.write_table(table, os.path.join(folder, "items.parquet"), row_group_size=GROUP)
    return workdir


class Published(NamedTuple):
    """What came of the embedding of the whole catalogue and the selection of some of it."""

    partition: Partition
    items: Embedded


def _embed(root, tower, config, beam_args=(), rows=ROWS, **changes):
    workdir = _workdir(root / "work", **changes)
    selected = Selected(workdir.partition("catalogue", DAY), np.asarray(rows), {})
    whole = (config, tower, selected.catalogue, np.arange(ITEMS))
    if beam_args:
        scratch = root / "scratch"
        scratch.mkdir()
        items = embed_by_beam(*whole, str(scratch), beam_args)
    else:
        items = embed_here(*whole)
    return Published(*publish_embeddings(config, workdir, items, selected, DAY))


@pytest.fixture(scope="module")
def tower():
    config = _config()
    return TowerInference(TwoTowerModel.from_config(config).candidate_tower, config, "candidate")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, tower):
    return _embed(tmp_path_factory.mktemp("here"), tower, _config())


def _files(partition) -> dict[str, bytes]:
    files = {}
    for name in os.listdir(partition.path):
        with open(partition.file(name), "rb") as file:
            files[name] = file.read()
    return files


def test_a_beam_job_makes_the_same_bytes_as_this_process(tmp_path, tower, embedded, monkeypatch):
    # Nothing may be embedded by the tower of this process.
    loaded = []
    monkeypatch.setattr(
        TowerInference,
        "load",
        classmethod(lambda cls, *args, load=TowerInference.load: loaded.append(1) or load(*args)),
    )
    by_beam = _embed(tmp_path, tower, _config(), ["--runner=FnApiRunner"])
    assert loaded
    assert _files(by_beam.partition) == _files(embedded.partition)
    np.testing.assert_array_equal(by_beam.items.hashes, embedded.items.hashes)


@pytest.mark.parametrize(("threshold", "by_beam"), [(ITEMS, True), (ITEMS + 1, False)])
def test_large_catalogues_are_embedded_by_beam(tmp_path, monkeypatch, threshold, by_beam):
    monkeypatch.setattr(embedding, "embed_by_beam", lambda *args: ("by Beam", args[-1]))
    monkeypatch.setattr(embedding, "embed_here", lambda *args: ("here", args[-1].tolist()))
    config = _config(beam_from_items=threshold)
    workdir, model = _workdir(tmp_path), TwoTowerModel.from_config(config)
    items = CatalogueEmbedder(config, workdir, model, ["--runner=some"]).embed(DAY)
    every = list(range(ITEMS))
    assert items == (("by Beam", ["--runner=some"]) if by_beam else ("here", every))


@pytest.mark.long
def test_a_model_embeds_a_catalogue_once_until_it_or_the_day_changes(tmp_path, monkeypatch):
    asked = []
    here = embed_here
    monkeypatch.setattr(embedding, "embed_here", lambda *args: asked.append(1) or here(*args))
    config = _config()
    workdir, model = _workdir(tmp_path), TwoTowerModel.from_config(config)
    embedder = CatalogueEmbedder(config, workdir, model)
    first = embedder.embed(DAY)
    assert embedder.embed(DAY) is first
    assert len(asked) == 1
    model.optimizer.iterations.assign_add(1)
    assert embedder.embed(DAY) is not first
    assert len(asked) == 2
    embedder.embed(DAY + datetime.timedelta(days=1))
    assert len(asked) == 3
    embedder.forget()
    embedder.embed(DAY + datetime.timedelta(days=1))
    assert len(asked) == 4


def test_embeddings_are_the_towers_of_the_selected_rows_in_order(embedded, tower):
    item_ids, embeddings = read_embeddings(embedded.partition)
    columns = _columns()
    assert item_ids.tolist() == [columns["item_id"][row] for row in ROWS]
    tags, weights = (columns[f"candidate/{name}"].to_pylist() for name in ("tags", "tags_weights"))
    splits = np.cumsum([0, *(len(tags[row]) for row in ROWS)])
    catalogue = Catalogue(
        item_ids,
        {
            "item_id": item_ids,
            "title": np.array([columns["candidate/title"][row] for row in ROWS], object),
            "tags": Lists(np.array([t for row in ROWS for t in tags[row]], object), splits),
            "tags_weights": Lists(
                np.array([w for row in ROWS for w in weights[row]], np.float32), splits
            ),
            "price": columns["candidate/price"][ROWS].astype(np.float32),
            "age": np.full(len(ROWS), 2, np.float32),
        },
    )
    # The batches differ, and with them the last bits.
    whole = tower.embed_catalogue(catalogue, len(ROWS))
    np.testing.assert_allclose(embeddings, whole, atol=2e-7)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(embedded.items.hashes, item_hashes(catalogue))


def test_a_vector_database_finds_ids_vectors_of_fixed_length_and_the_version(embedded):
    partition = embedded.partition
    manifest = partition.manifest()
    assert [shard["file"] for shard in manifest["shards"]] == (
        [f"embeddings-{number:05d}-of-00005.parquet" for number in range(5)]
    )
    item_ids, _ = read_embeddings(partition)
    read = []
    for shard in manifest["shards"]:
        table = pq.read_table(partition.file(shard["file"]))
        assert table.schema.names == ["item_id", "embedding", "version"]
        assert table.schema.field("embedding").type.list_size == 24
        assert table.schema.field("embedding").type.value_type == pa.float32()
        assert set(table["version"].to_pylist()) == {20261120}
        assert len(table) == shard["records"]
        with open(partition.file(shard["file"]), "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == shard["sha256"]
        read += table["item_id"].to_pylist()
    assert read == item_ids.tolist()
    assert (manifest["version"], manifest["dim"], manifest["broken"]) == (20261120, 24, 0)


def test_large_row_groups_are_split(tmp_path, tower, embedded, monkeypatch):
    monkeypatch.setattr(embedding_shards, "_MOST_ROWS", 50)
    split = _embed(tmp_path, tower, _config())
    parts = (split.partition, embedded.partition)
    records, whole = ([shard["records"] for shard in one.manifest()["shards"]] for one in parts)
    assert records == [n for count in whole for n in (50, 50, count - 100) if n]
    (item_ids, embeddings), (expected_ids, expected) = map(read_embeddings, parts)
    assert item_ids.tolist() == expected_ids.tolist()
    np.testing.assert_allclose(embeddings, expected, atol=2e-7)


def _with_broken_prices(*rows) -> dict:
    prices = _columns()["candidate/price"]
    prices[list(rows)] = np.inf
    return {"candidate/price": prices}


def test_items_whose_vectors_are_not_finite_are_left_out_and_counted(
    tmp_path, tower, embedded, caplog
):
    broken = [int(ROWS[0]), int(ROWS[300])]
    left = _embed(tmp_path, tower, _config(), **_with_broken_prices(*broken))
    item_ids, embeddings = read_embeddings(left.partition)
    all_ids, all_embeddings = read_embeddings(embedded.partition)
    stay = ~np.isin(ROWS, broken)
    assert item_ids.tolist() == all_ids[stay].tolist()
    # A broken row must not touch the others of its batch.
    np.testing.assert_array_equal(embeddings, all_embeddings[stay])
    np.testing.assert_array_equal(left.items.hashes, embedded.items.hashes[stay])
    assert left.partition.manifest()["broken"] == 2
    assert f"the embeddings of 2 of {len(ROWS)} items are not finite, of 'é0001'" in caplog.text


@pytest.mark.parametrize(("rows", "most"), [(range(60), 0.05), (range(960), 1.0)])
def test_too_many_broken_vectors_publish_nothing(tmp_path, tower, rows, most):
    config = _config()
    selection = config.selection.model_copy(update={"max_broken_share": most})
    config = config.model_copy(update={"selection": selection})
    with pytest.raises(JobError, match="are not finite, of 'é0001' for one"):
        _embed(tmp_path, tower, config, **_with_broken_prices(*rows))
    assert not Workdir(str(tmp_path / "work")).partition("embeddings", DAY).exists()


def test_a_shard_that_no_worker_made_is_missed(tmp_path, tower, monkeypatch):
    from twotower_tf.indexing.candidates import embedding_job

    monkeypatch.setattr(embedding_job.ShardPlan, "write", lambda *_: None)
    with pytest.raises(JobError, match="ended without embeddings-00000-of-00007"):
        _embed(tmp_path, tower, _config(), ["--runner=FnApiRunner"])


_LOAD = """
import json, sys
import twotower_tf
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
print(json.dumps(loaded.embed({
    "item_id": tf.constant(["é0003"]), "title": tf.constant(["a b"]),
    "tags": tf.ragged.constant([["x"]]), "tags_weights": tf.ragged.constant([[0.5]]),
    "price": tf.constant([0.25]), "age": tf.constant([2.0])}).numpy().tolist()))
"""


def test_a_saved_tower_gives_the_same_bits_in_another_process(tmp_path, tower):
    tower.save(str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(tmp_path)], capture_output=True, text=True, check=True
    )
    raw = {
        "item_id": tf.constant(["é0003"]),
        "title": tf.constant(["a b"]),
        "tags": tf.ragged.constant([["x"]]),
        "tags_weights": tf.ragged.constant([[0.5]]),
        "price": tf.constant([0.25]),
        "age": tf.constant([2.0]),
    }
    assert json.loads(done.stdout.splitlines()[-1]) == tower(raw).tolist()
