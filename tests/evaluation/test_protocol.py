"""The evaluation of a day against plain Python: sorting all items for every held-out example."""

import collections
import dataclasses
import datetime
import json
import math
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.example_counts import write_counts
from tests.example_records import example_record
from twotower_tf.config import Config
from twotower_tf.errors import InputError
from twotower_tf.examples.encoding.tfrecord import write_records
from twotower_tf.storage import Workdir, read_json

# isort: split
import tensorflow as tf

from twotower_tf.evaluation.protocol import Evaluator
from twotower_tf.evaluation.retrieval_stage import RetrievalStage
from twotower_tf.indexing.candidates.embedding import CatalogueEmbedder
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.training.day_trainer import make_deterministic
from twotower_tf.training.sequence import train_days

DAYS = [datetime.date(2026, 1, day) for day in range(1, 6)]
ITEMS = [f"i{number:02}" for number in range(12)]
AT = [1, 3, 8]
WINDOW = 2
CONFIG = Config.model_validate(
    {
        "name": "tiny",
        "source": {
            "events": {"path": "e.csv", "columns": {"seed_item_id": "seed"}},
            "items": {"path": "i.csv"},
        },
        "tables": {"items": {"buckets": 1000, "dim": 6}},
        "query": {
            "features": [
                {"name": "seed_item_id", "kind": "id", "table": "items"},
                {"name": "history", "kind": "id_bag", "table": "items"},
            ],
            "layers": [6],
        },
        "candidate": {
            "features": [{"name": "item_id", "kind": "id", "table": "items"}],
            "layers": [6],
        },
        "estimator": {"buckets": 1000},
        "training": {"batch_size": 16, "tensorboard": False},
        "evaluation": {"at": AT, "batch_size": 7, "baseline_days": WINDOW},
    }
)


# --- a tiny work directory --------------------------------------------------------------------


def _example(
    item: str, seed: str = "", history: tuple = (), reward: float = 1.0, user: str = "u"
) -> dict:
    known = {"item": item, "seed": seed, "history": list(history), "reward": reward}
    return {**known, "user": user}


def _random_examples(rng: random.Random, count: int) -> list[dict]:
    """Returns examples with and without seed, history and reward, some of an unknown item."""
    made = []
    for _ in range(count):
        # Uneven popularity; one id more than there are items.
        item = min(rng.randrange(13), rng.randrange(13))
        seed = rng.choice(["", ITEMS[(item + 1) % 12], rng.choice(ITEMS)])
        history = [rng.choice(ITEMS) for _ in range(rng.randrange(3))]
        reward = rng.choice([0.0, 0.3, 1.0])
        made.append(_example(f"i{item:02}", seed, tuple(history), reward))
    return made


def _record(example: dict) -> bytes:
    seed, item = example["seed"].encode(), example["item"].encode()
    texts = {
        "user_id": [example["user"].encode()],
        "item_id": [item],
        "seed_item_id": [seed],
        "candidate/item_id": [item],
        "query/seed_item_id": [seed],
        "query/history": [one.encode() for one in example["history"]],
        "own_item_ids": [one.encode() for one in _own(example)],
    }
    ones = [1.0] * len(_own(example))
    numbers = {"reward": [example["reward"]], "own_counts": ones, "own_days": ones}
    return example_record(texts, numbers, {"timestamp": [0]})


def _own(example: dict) -> list[str]:
    """The user's own items, one of which there is no more: what is to be found is among some."""
    return [*dict.fromkeys([*example["history"], "gone", *ITEMS[::5]])]


def _write_day(workdir: Workdir, day: datetime.date, log: dict[str, list[dict]]) -> None:
    manifest = {"counts": {"examples": len(log["train"])}, "shards": []}
    with workdir.partition("examples", day).write(manifest) as folder:
        for split, examples in log.items():
            for shard in range(2):
                name = f"{split}-{shard:05d}-of-00002.tfrecord.gz"
                count = write_records(f"{folder}/{name}", map(_record, examples[shard::2]))
                manifest["shards"].append({"file": name, "records": count})
    seed_ids = [_seed(example) for example in log["train"]]
    write_counts(workdir, day, seed_ids, [example["item"] for example in log["train"]])


def _write_catalogue(workdir: Workdir, day: datetime.date, items: list[str]) -> None:
    # The last item is published after all days.
    table = pa.table(
        {
            "item_id": [*items, "later"],
            "title": [""] * (len(items) + 1),
            "published_at": pa.array([None] * len(items) + [2**31], pa.int64()),
            "candidate/item_id": [*items, "later"],
        }
    )
    with workdir.partition("catalogue", day).write({"shards": [{"file": "i.parquet"}]}) as folder:
        pa.parquet.write_table(table, f"{folder}/i.parquet")


@pytest.fixture(scope="module")
def logs() -> dict[datetime.date, dict[str, list[dict]]]:
    """The examples of four days by split; there is no fifth."""
    made = {}
    for day in DAYS[:4]:
        rng = random.Random(day.toordinal())
        made[day] = {"train": _random_examples(rng, 40), "eval": _random_examples(rng, 20)}
    return made


@pytest.fixture(scope="module")
def workdir(logs, tmp_path_factory) -> Workdir:
    made = Workdir(str(tmp_path_factory.mktemp("work")))
    _write_catalogue(made, DAYS[0], ITEMS)
    for day, log in logs.items():
        _write_day(made, day, log)
    return made


@pytest.fixture(scope="module")
def model() -> TwoTowerModel:
    make_deterministic(3)
    return TwoTowerModel.from_config(CONFIG)


# --- the same in plain Python -----------------------------------------------------------------


def _seed(example: dict) -> str:
    return example["seed"] or (example["history"] or [""])[-1]


def _queries(log: dict) -> list[dict]:
    return [example for example in log["eval"] if example["reward"] > 0]


def _ranked_by_model(model: TwoTowerModel, log: dict) -> list[list[str]]:
    """Sorts all items for each query, embedded by itself, by the cosine in float64."""
    items = model.candidate_tower({"item_id": tf.constant(ITEMS)}).numpy().astype(np.float64)
    ranked = []
    for query in _queries(log):
        raw = {
            "seed_item_id": tf.constant([query["seed"]]),
            "history": tf.ragged.constant([query["history"]], dtype=tf.string),
        }
        scores = items @ model.query_tower(raw).numpy()[0].astype(np.float64)
        ranked.append(sorted(ITEMS, key=lambda item, s=scores: -s[ITEMS.index(item)]))
    return ranked


def _in_window(logs: dict, last: datetime.date) -> list[dict]:
    window = [last - datetime.timedelta(days=number) for number in range(WINDOW)]
    return [example for day in window if day in logs for example in logs[day]["train"]]


def _ranked_by_baseline(name: str, logs: dict, day: datetime.date, counted_to: datetime.date):
    counted = _in_window(logs, counted_to)
    popularity = collections.Counter(example["item"] for example in counted)
    pairs = collections.Counter((_seed(one), one["item"]) for one in counted if _seed(one))
    ranked = []
    for query in _queries(logs[day]):
        after = _seed(query) if name == "after_seed" else ""
        order = sorted(ITEMS, key=lambda item, s=after: (-pairs[s, item], -popularity[item]))
        ranked.append(order)
    return ranked


def _measured(ranked: list[list[str]], wanted: list[str]) -> dict:
    ranks = [
        order.index(item) + 1 if item in order else math.inf
        for order, item in zip(ranked, wanted, strict=True)
    ]
    count = len(ranks)
    return {
        "recall": {str(k): sum(rank <= k for rank in ranks) / count for k in AT},
        "ndcg": {
            str(k): sum(1 / math.log2(1 + rank) for rank in ranks if rank <= k) / count for k in AT
        },
        "mrr": sum(1 / rank for rank in ranks) / count,
        "coverage": {
            str(k): len({item for order in ranked for item in order[:k]}) / len(ITEMS) for k in AT
        },
    }


def _expected(model, logs, day: datetime.date, counted_to: datetime.date) -> dict:
    wanted = [query["item"] for query in _queries(logs[day])]
    ranked = {
        "model": _ranked_by_model(model, logs[day]),
        "most_popular": _ranked_by_baseline("most_popular", logs, day, counted_to),
        "after_seed": _ranked_by_baseline("after_seed", logs, day, counted_to),
        "own_items": [
            [one for one in _own(query) if one in ITEMS] for query in _queries(logs[day])
        ],
    }
    return {name: _measured(order, wanted) for name, order in ranked.items()}


def _assert_equal(found: dict, expected: dict) -> None:
    assert found["methods"].keys() == expected.keys()
    for name, values in expected.items():
        for metric, value in values.items():
            assert found["methods"][name][metric] == pytest.approx(value), (name, metric)


# --- both protocols ---------------------------------------------------------------------------


def test_before_and_after_training_on_each_day_all_methods_equal_sorting_the_catalogue(
    workdir, model, logs
):
    evaluator = Evaluator(CONFIG, workdir, model)
    for day in DAYS[:4]:
        yesterday = day - datetime.timedelta(days=1)
        before = evaluator.evaluate(day, yesterday)
        _assert_equal(before, _expected(model, logs, day, yesterday))
        after = evaluator.evaluate(day, day)
        _assert_equal(after, _expected(model, logs, day, day))
        for found in (before, after):
            assert found["held_out"] == len(_queries(logs[day])) > 5
            assert found["users"] == 1
            assert found["catalogue"] == len(ITEMS)
        # Before, the baselines do not know the day's training examples, and it shows.
        for name in ("most_popular", "after_seed"):
            assert before["methods"][name]["mrr"] != after["methods"][name]["mrr"]
        assert before["methods"]["model"]["mrr"] == after["methods"]["model"]["mrr"]


def test_an_evaluator_that_starts_late_counts_the_same_window(workdir, model, logs):
    for counted_to in DAYS[2:4]:
        found = Evaluator(CONFIG, workdir, model).evaluate(DAYS[3], counted_to)
        _assert_equal(found, _expected(model, logs, DAYS[3], counted_to))


def test_recall_by_decile_goes_by_the_popularity_in_the_window(workdir, model, logs):
    day = DAYS[2]
    deciles = Evaluator(CONFIG, workdir, model).evaluate(day, day)["methods"]["most_popular"]
    counts = collections.Counter(example["item"] for example in _in_window(logs, day))
    order = sorted(ITEMS, key=lambda item: -counts[item])
    # 12 items in ten groups: the first two have two.
    groups = [order[:2], order[2:4], *([item] for item in order[4:])]
    wanted = [query["item"] for query in _queries(logs[day])]
    assert [decile["held_out"] for decile in deciles["recall_by_decile"]] == [
        sum(item in group for item in wanted) for group in groups
    ]


def test_the_catalogue_is_that_of_the_day(workdir, model, logs, tmp_path):
    other = Workdir(str(tmp_path))
    _write_catalogue(other, DAYS[0], ITEMS[:5])
    _write_catalogue(other, DAYS[1], ITEMS)
    for day in DAYS[:2]:
        _write_day(other, day, logs[day])
    evaluator = Evaluator(CONFIG, other, model)
    assert evaluator.evaluate(DAYS[0], DAYS[0])["catalogue"] == 5
    found = evaluator.evaluate(DAYS[1], DAYS[1])
    assert found["catalogue"] == 12
    _assert_equal(found, _expected(model, logs, DAYS[1], DAYS[1]))


def test_an_item_whose_vector_is_not_finite_counts_as_not_in_the_catalogue(
    workdir, model, logs, tmp_path, monkeypatch
):
    day = DAYS[0]
    other = Workdir(str(tmp_path))
    _write_catalogue(other, day, ITEMS[:2] + ITEMS[3:])
    _write_day(other, day, logs[day])
    expected = Evaluator(CONFIG, other, model).evaluate(day, day)

    share = CONFIG.selection.model_copy(update={"max_broken_share": 0.1})
    config = CONFIG.model_copy(update={"selection": share})
    embedder = CatalogueEmbedder(config, workdir, model)
    embed = embedder.embed
    broken = np.where(np.arange(len(ITEMS)) == 2, np.nan, 1).astype(np.float32)[:, np.newaxis]

    def with_one_broken(day):
        items = embed(day)
        return dataclasses.replace(items, embeddings=items.embeddings * broken)

    monkeypatch.setattr(embedder, "embed", with_one_broken)
    evaluator = Evaluator(config, workdir, model, embedder=embedder)
    assert evaluator.evaluate(day, day) == expected


# --- what is asked for besides ----------------------------------------------------------------


def _asking(**evaluation) -> Config:
    section = CONFIG.evaluation.model_copy(update=evaluation)
    return CONFIG.model_copy(update={"evaluation": section})


def _is_repeat(query: dict) -> bool:
    return query["item"] in _own(query)


def test_the_recall_of_new_and_of_repeated_items_stands_beside_the_whole(workdir, model, logs):
    day = DAYS[2]
    found = Evaluator(CONFIG, workdir, model).evaluate(day, day)
    assert found["repeats"] == "all"
    ranked = _ranked_by_model(model, logs[day])
    for kind, wanted in (("repeat", True), ("new", False)):
        some = [
            (order, query["item"])
            for order, query in zip(ranked, _queries(logs[day]), strict=True)
            if _is_repeat(query) == wanted
        ]
        assert some
        measured = found["methods"]["model"]["recall_by_repeat"][kind]
        assert measured["held_out"] == len(some)
        assert measured["recall"] == pytest.approx(_measured(*zip(*some, strict=True))["recall"])
    unknown = {"held_out": 0, "recall": dict.fromkeys(map(str, AT))}
    assert found["methods"]["after_seed"]["recall_by_repeat"]["unknown"] == unknown
    own = found["methods"]["own_items"]["recall_by_repeat"]
    assert set(own["new"]["recall"].values()) == {0.0}


@pytest.mark.parametrize("asked", ["new", "repeat"])
def test_only_new_or_only_repeated_items_are_found_what_was_seen_taken_out_of_the_new(
    workdir, model, logs, asked
):
    day = DAYS[2]
    found = Evaluator(_asking(repeats=asked), workdir, model).evaluate(day, day)
    queries = _queries(logs[day])
    kept = [number for number, one in enumerate(queries) if _is_repeat(one) == (asked == "repeat")]
    assert 0 < found["held_out"] == len(kept) < len(queries)
    assert found["repeats"] == asked
    ranked = {
        "model": _ranked_by_model(model, logs[day]),
        "most_popular": _ranked_by_baseline("most_popular", logs, day, day),
        "after_seed": _ranked_by_baseline("after_seed", logs, day, day),
    }
    assert set(found["methods"]) == set(ranked) | ({"own_items"} if asked == "repeat" else set())
    for name, orders in ranked.items():
        left = [
            [item for item in orders[at] if asked == "repeat" or item not in _own(queries[at])]
            for at in kept
        ]
        expected = _measured(left, [queries[at]["item"] for at in kept])
        for metric, value in expected.items():
            assert found["methods"][name][metric] == pytest.approx(value), (name, metric)
        assert "recall_by_repeat" not in found["methods"][name]


def test_without_own_items_nothing_is_told_of_repeats(workdir, model):
    examples = CONFIG.examples.model_copy(update={"own_length": 0})
    config = CONFIG.model_copy(update={"examples": examples})
    found = Evaluator(config, workdir, model).evaluate(DAYS[0], DAYS[0])
    assert "repeats" not in found
    assert "recall_by_repeat" not in found["methods"]["model"]


def test_the_nearest_items_of_the_past_are_those_of_the_users_of_the_training_examples(
    model, tmp_path
):
    workdir = Workdir(str(tmp_path))
    _write_catalogue(workdir, DAYS[0], ITEMS)
    # i04 and i07 have users in common on both days, in the one that counts i02 and i09 do.
    days = {
        DAYS[0]: [_example("i04", user="a"), _example("i07", user="a")],
        DAYS[1]: [_example("i02", user="a"), _example("i09", user="a"), _example("i04", user="b")],
    }
    asked = [
        _example("i09", history=("i01", "i02"), user="x"),
        _example("i02", seed="i09", user="y"),
        _example("i07", history=("i04",), user="z"),
    ]
    for day, train in days.items():
        _write_day(workdir, day, {"train": train, "eval": asked})
    knn = {"neighbours": 5, "shrinkage": 1.0}
    config = CONFIG.model_validate(
        CONFIG.model_dump() | {"evaluation": {"at": AT, "baseline_days": 1, "item_knn": knn}}
    )
    evaluator = Evaluator(config, workdir, model)
    before = evaluator.evaluate(DAYS[1], DAYS[0])["methods"]["item_knn"]
    after = evaluator.evaluate(DAYS[1], DAYS[1])["methods"]["item_knn"]
    # Before only i07 is known to be near; the others are ranked as the catalogue is, behind it.
    assert before["recall"]["1"] == pytest.approx(1 / 3)
    assert after["recall"]["1"] == pytest.approx(2 / 3)


def test_popularity_in_training_counts_the_days_before_the_window_too(workdir, model, logs):
    day = DAYS[3]
    found = Evaluator(_asking(by_popularity=True), workdir, model).evaluate(day, day)
    trained = collections.Counter(one["item"] for log in logs.values() for one in log["train"])
    groups = found["methods"]["model"]["recall_by_popularity"]
    counts = sorted((trained[item] for item in ITEMS if trained[item]), reverse=True)
    assert groups[0]["examples"] == [counts[1], counts[0]]
    assert groups[10]["items"] == len(ITEMS) - len(counts)
    assert sum(group["held_out"] for group in groups) == sum(
        one["item"] in ITEMS for one in _queries(logs[day])
    )


# --- what is asked ----------------------------------------------------------------------------


def test_held_out_examples_without_reward_do_not_count(workdir, model, logs, tmp_path):
    day = DAYS[0]
    without = [example for example in logs[day]["eval"] if not example["reward"]]
    assert without
    other = Workdir(str(tmp_path))
    _write_catalogue(other, day, ITEMS)
    _write_day(other, day, {"train": logs[day]["train"], "eval": _queries(logs[day])})
    expected = Evaluator(CONFIG, other, model).evaluate(day, day)
    found = Evaluator(CONFIG, workdir, model).evaluate(day, day)
    for name in ("recall", "mrr", "ndcg", "coverage"):
        for method, values in expected["methods"].items():
            assert found["methods"][method][name] == pytest.approx(values[name])


def test_a_day_of_which_no_held_out_example_has_a_reward_measures_nothing(model, logs, tmp_path):
    workdir = Workdir(str(tmp_path))
    _write_catalogue(workdir, DAYS[0], ITEMS)
    held_out = [{**example, "reward": 0.0} for example in logs[DAYS[0]]["eval"]]
    _write_day(workdir, DAYS[0], {"train": logs[DAYS[0]]["train"], "eval": held_out})
    _write_day(workdir, DAYS[1], {"train": [], "eval": []})
    evaluator = Evaluator(CONFIG, workdir, model)
    for day in DAYS[:2]:
        found = evaluator.evaluate(day, day)
        assert found["held_out"] == 0
        for method in found["methods"].values():
            assert method["recall"] == dict.fromkeys(map(str, AT))
            assert method["mrr"] is None
        assert evaluator.embed_held_out(day).shape == (0, 6)
        json.dumps(found, allow_nan=False)


def test_the_seed_is_the_item_on_screen_or_else_the_last_of_the_history(model, tmp_path):
    workdir = Workdir(str(tmp_path))
    _write_catalogue(workdir, DAYS[0], ITEMS)
    # i07 follows i03 on screen twice, i08 follows it in the history thrice; i09 is most popular.
    train = [
        *[_example("i07", seed="i03", history=("i05",))] * 2,
        *[_example("i08", history=("i05", "i03"))] * 3,
        *[_example("i09")] * 4,
    ]
    asked = [
        _example("i08", seed="i03"),
        _example("i07", history=("i01", "i03")),
        _example("i09", seed="i05", history=("i01", "i03")),
        _example("i09"),
    ]
    _write_day(workdir, DAYS[0], {"train": train, "eval": asked})
    evaluator = Evaluator(CONFIG, workdir, model)
    held_out = evaluator.held_out(DAYS[0])
    assert dict(zip(held_out.seed_ids, held_out.item_ids, strict=True)) == {
        "i03": "i07",
        "i05": "i09",
        "": "i09",
    }
    assert sorted(held_out.seed_ids) == ["", "i03", "i03", "i05"]
    # Ranks 1 (i08 after i03), 2 (i07 after i03), and 1 twice: nothing followed the others.
    found = evaluator.evaluate(DAYS[0], DAYS[0])["methods"]["after_seed"]
    assert found["recall"] == {"1": 0.75, "3": 1.0, "8": 1.0}
    assert found["mrr"] == pytest.approx((1 + 1 / 2 + 1 + 1) / 4)


def test_queries_are_embedded_in_the_order_of_the_held_out_examples(workdir, model):
    evaluator = Evaluator(CONFIG, workdir, model)
    embeddings = evaluator.embed_held_out(DAYS[0])
    held_out = evaluator.held_out(DAYS[0])
    assert embeddings.shape == (len(held_out), 6)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, rtol=1e-5)
    row = 0
    for batch in held_out.batches:
        for number in range(batch["seed_item_id"].shape[0]):
            one = {name: values[number : number + 1] for name, values in batch.items()}
            alone = model.query_tower(one).numpy()[0]
            np.testing.assert_allclose(embeddings[row], alone, atol=1e-6)
            row += 1
    assert row == len(held_out)


# --- with a checkpoint ------------------------------------------------------------------------


def evaluate_day(workdir: Workdir, day: datetime.date) -> dict:
    return RetrievalStage(CONFIG, workdir, at_or_before=day).evaluate(day)


def test_a_day_is_evaluated_before_and_after_it_was_trained_and_both_are_kept(logs, tmp_path):
    workdir = Workdir(str(tmp_path))
    _write_catalogue(workdir, DAYS[0], ITEMS)
    for day in DAYS[:3]:
        _write_day(workdir, day, logs[day])
    with pytest.raises(InputError, match=f"no checkpoint of {DAYS[1]} or before"):
        evaluate_day(workdir, DAYS[1])
    list(train_days(CONFIG, workdir, DAYS[:1]))
    before = evaluate_day(workdir, DAYS[1])
    assert (before["day"], before["after"]) == (str(DAYS[1]), None)
    list(train_days(CONFIG, workdir, DAYS[1:3]))
    # The newest checkpoint is of the third day; that of the second is asked.
    both = evaluate_day(workdir, DAYS[1])
    assert both["before"] == before["before"]
    assert both["after"]["held_out"] == before["before"]["held_out"]
    assert both["after"]["methods"]["model"] != before["before"]["methods"]["model"]
    assert both == read_json(workdir.metrics_path("evaluate", DAYS[1]))
    with pytest.raises(InputError, match=f"no examples of {DAYS[4]}"):
        evaluate_day(workdir, DAYS[4])
