"""Counts of training examples: against plain counting, as built and as read back."""

import datetime
import os
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.example_counts import table_of, write_counts
from twotower_tf.errors import InputError
from twotower_tf.examples import counts
from twotower_tf.examples.counts import Counts
from twotower_tf.storage import Workdir

DAY = datetime.date(2026, 11, 20)
ids = st.sampled_from(["a", "b", "é", "z9", "щ", "0"])
examples = st.lists(st.tuples(st.sampled_from(["", "a", "é", "x"]), ids), max_size=20)


def _write_day(workdir, day, item_ids, seed_ids=None) -> None:
    with workdir.partition("examples", day).write({}):
        pass
    write_counts(workdir, day, seed_ids or [""] * len(item_ids), item_ids)


def _rows(table: pa.Table) -> list[tuple]:
    return [tuple(row.values()) for row in table.to_pylist()]


@given(parts=st.lists(examples, max_size=4))
def test_parts_together_equal_plain_counting_sorted_by_ids(parts):
    made = counts.merge([table_of(*zip(*part, strict=True)) for part in parts if part])
    together = [example for part in parts for example in part]
    by_item = Counter(item for _, item in together)
    by_pair = Counter(together)
    assert _rows(counts.of_items(made)) == sorted(by_item.items())
    seeded = sorted((*pair, number) for pair, number in by_pair.items() if pair[0])
    assert _rows(counts.with_seed_item(made)) == seeded


def test_what_is_written_is_read_back_the_same_whatever_the_order_of_the_parts(tmp_path):
    parts = [table_of(["s", "", "s"], ["a", "b", "a"]), table_of(["", "é"], ["b", "c"])]
    written = []
    for number, order in enumerate((parts, parts[::-1])):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert counts.write_day(str(folder), counts.merge(order)) == {
            "items.parquet": 3,
            "pairs.parquet": 2,
        }
        written.append([(folder / name).read_bytes() for name in sorted(os.listdir(folder))])
    assert written[0] == written[1]
    assert _rows(counts.read(str(folder / "pairs.parquet"))) == [("s", "a", 2), ("é", "c", 1)]


def test_the_training_examples_of_the_window_are_counted(tmp_path):
    workdir = Workdir(str(tmp_path))
    days = {0: ["a", "é", "a", "c"], 1: ["a"], 3: ["d", "d", "c"], 7: ["old"], -1: ["tomorrow"]}
    for back, item_ids in days.items():
        _write_day(workdir, DAY - datetime.timedelta(days=back), item_ids)
    reader = Counts(workdir)
    for window in (1, 2, 3, 4, 7, 8):
        expected = Counter(one for back, of in days.items() if 0 <= back < window for one in of)
        assert _rows(reader.items_until(DAY, window)) == sorted(expected.items())


def test_the_pairs_of_a_window_are_kept_until_they_are_forgotten(tmp_path, monkeypatch):
    workdir = Workdir(str(tmp_path))
    _write_day(workdir, DAY, ["a", "b"], ["s", ""])
    _write_day(workdir, DAY - datetime.timedelta(days=2), ["a", "a"], ["s", "s"])
    reader, read, paths = Counts(workdir), counts.read, []
    monkeypatch.setattr(counts, "read", lambda path: paths.append(path) or read(path))
    for _ in range(2):
        assert sorted(_rows(reader.pairs_until(DAY, 3))) == [("s", "a", 1), ("s", "a", 2)]
        assert _rows(reader.pairs_until(DAY, 2)) == [("s", "a", 1)]
    assert _rows(reader.pairs(DAY)) == [("s", "a", 1)]
    assert len(paths) == 2
    reader.forget(DAY)
    assert len(reader.pairs_until(DAY, 3)) == 2
    assert len(paths) == 3


def test_without_examples_nothing_is_counted(tmp_path):
    reader = Counts(Workdir(str(tmp_path)))
    assert _rows(reader.items_until(DAY, 7)) == []
    assert _rows(reader.pairs(DAY)) == []


def test_a_file_is_read_once_by_whoever_asks_how_often(tmp_path, monkeypatch):
    workdir = Workdir(str(tmp_path))
    _write_day(workdir, DAY, ["a", "b"], ["s", ""])
    read, paths = counts.read, []
    monkeypatch.setattr(counts, "read", lambda path: paths.append(path) or read(path))
    reader = Counts(workdir)
    for window in (1, 7, 3):
        assert len(reader.items_until(DAY, window)) == 2
    assert len(reader.items(DAY)) == 2
    assert paths == [workdir.partition("counts", DAY).file("items.parquet")]
    reader.forget(DAY + datetime.timedelta(days=1))
    assert len(reader.items(DAY)) == 2
    assert len(paths) == 2


def test_examples_that_were_never_counted_are_an_error_and_not_nothing(tmp_path):
    workdir = Workdir(str(tmp_path))
    with workdir.partition("examples", DAY).write({}):
        pass
    for ask in (Counts(workdir).items, Counts(workdir).pairs):
        with pytest.raises(InputError, match=r"examples of 2026-11-20 in .* were never counted"):
            ask(DAY)


@pytest.mark.parametrize("given", ["carried", "in the log", "unknown to the model"])
def test_a_build_counts_the_training_examples_as_they_are_read_back(
    deployment, days, make_event, read_shards, without_beam, given
):
    if given == "in the log":
        deployment.with_histories_of_the_log()
    if given == "unknown to the model":
        features = deployment.values["query"]["features"]
        features[:] = [one for one in features if "history" not in one.values()]
    rng = np.random.default_rng(7)
    for number, day in enumerate(days[:2]):
        events = []
        for n in range(120):
            path = [f"i{one}" for one in rng.integers(6, size=rng.integers(3))]
            seed = {"seed": f"i{rng.integers(9)}"} if n % 3 else {}
            user, item, second = rng.integers(12), rng.integers(6), number * 86_400 + n * 60
            events.append(make_event(int(user), int(item), int(second), path=path, **seed))
        deployment.write_day(day, events)
    with without_beam():
        deployment.build(days[:2], shards=3)
    workdir, history = deployment.workdir(), counts.seed_item_history(deployment.config())
    assert (history is None) == (given == "unknown to the model")
    reader = Counts(workdir)
    for day in days[:2]:
        pairs = Counter()
        for file, records in read_shards(workdir, day).items():
            for record in records if file.startswith("train-") else []:
                before = record[f"query/{history.name}"] if history else []
                (seed,), (item,) = record["seed_item_id"], record["item_id"]
                pairs[seed or ["", *before][-1], item] += 1
        by_item = Counter()
        for (_, item), number in pairs.items():
            by_item[item] += number
        assert _rows(reader.items(day)) == sorted(by_item.items())
        seeded = sorted((*pair, number) for pair, number in pairs.items() if pair[0])
        assert _rows(reader.pairs(day)) == seeded
