"""From the package's tables to what methods get: exported, built by the pipeline, read back."""

import datetime

import numpy as np
import pytest

from benchmarks.quality_data.reading import read_problem, records_of
from tests.groceries_package import HOUSEHOLDS, PRODUCTS, installed, purchases
from twotower_tf.config_loader import load_config
from twotower_tf.datasets import complete_journey
from twotower_tf.examples.building.build import build_examples
from twotower_tf.storage import Workdir

DAYS = [datetime.date(2017, 1, 1 + number) for number in range(4)]
BOUGHT = purchases(400, days=5)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The package's tables, made up, and a work directory built of four days of them."""
    root = tmp_path_factory.mktemp("groceries")
    with installed(root / "package", BOUGHT):
        complete_journey.export(root / "source", DAYS[-1])
    config = load_config("configs/groceries.yaml", ["examples.max_rejected_share=0.2"])
    workdir = Workdir(str(root / "work"))
    counts = build_examples(config, workdir, str(root / "source"), DAYS)
    return config, workdir, counts


def test_every_purchase_of_a_known_product_is_an_example_once(built):
    config, workdir, counts = built
    problem = read_problem(config, workdir, window=2)
    expected = {
        (str(user), str(item), int((when - datetime.datetime(1970, 1, 1)).total_seconds()))
        for user, item, when in zip(
            BOUGHT["household_id"],
            BOUGHT["product_id"],
            BOUGHT["transaction_timestamp"],
            strict=True,
        )
        if item < 100 + PRODUCTS - 1 and when.date() in DAYS
    }
    users, items = problem.user_ids[problem.user], problem.item_ids[problem.item]
    assert set(zip(users.tolist(), items.tolist(), problem.time.tolist(), strict=True)) == expected
    assert len(problem.item) == len(expected)
    for number, day in enumerate(DAYS):
        of_day = problem.day == number
        assert (of_day & problem.held_out).sum() == counts[day]["held_out"]
        assert (of_day & ~problem.held_out).sum() == counts[day]["examples"]


def test_what_a_query_brings_is_what_its_household_bought_before(built):
    config, workdir, _ = built
    problem = read_problem(config, workdir, window=2)
    assert len(problem.queries) > 5
    for query, row in enumerate(problem.queries.tolist()):
        before = (problem.user == problem.user[row]) & (problem.time < problem.time[row])
        np.testing.assert_array_equal(np.sort(problem.past(query)), np.flatnonzero(before))
        # Within a basket the order is a hash's.
        recent = problem.recent(query)
        expected = np.sort(problem.item[before])
        np.testing.assert_array_equal(np.sort(recent), expected)
        assert (problem.seed[row] == recent[-1]) if len(recent) else problem.seed[row] == -1


def test_features_are_those_of_the_catalogue_and_of_the_households(built):
    config, workdir, _ = built
    problem = read_problem(config, workdir, window=2)
    item = problem.item_ids.tolist().index("103")
    assert problem.item_features["product_category"][item] == "EGGS"
    assert problem.item_features["product_type"][item] == "TYPE 3"
    ages = dict(zip(problem.user_ids.tolist(), problem.user_features["age"].tolist(), strict=True))
    assert ages == {str(1 + number): "65+" if number == 0 else "" for number in range(HOUSEHOLDS)}
    assert problem.available.sum(axis=1).tolist() == [PRODUCTS - 1] * 2


def test_a_day_with_other_counts_than_its_manifest_says_fails(built, monkeypatch):
    _, workdir, counts = built
    assert len(records_of(workdir, DAYS[0], "train")) == counts[DAYS[0]]["examples"]
    partition = type(workdir.partition("examples", DAYS[0]))
    manifest = partition.manifest

    def wrong(self):
        read = manifest(self)
        return read | {"counts": read["counts"] | {"examples": read["counts"]["examples"] + 1}}

    monkeypatch.setattr(partition, "manifest", wrong)
    with pytest.raises(RuntimeError, match=f"{DAYS[0]} has .* train examples, but"):
        records_of(workdir, DAYS[0], "train")
