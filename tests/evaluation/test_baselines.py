"""The baselines, against dictionaries of counts and sorting the whole catalogue per query."""

import datetime
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.example_counts import table_of
from twotower_tf.evaluation.baselines import AfterSeed, MostPopular
from twotower_tf.examples import counts
from twotower_tf.indexing.ranking import Removed

FIRST = datetime.date(2026, 1, 1)
IDS = [f"item{n}" for n in range(12)]


def day(number):
    return FIRST + datetime.timedelta(days=number)


def counted(examples):
    """The counts of items and of pairs of some (seed, item), as the build writes them."""
    made = table_of([seed for seed, _ in examples], [item for _, item in examples])
    return counts.of_items(made), counts.with_seed_item(made)


def naive_ranking(seed, positive, examples, catalogue, use_seed):
    """Rank of the positive and the whole order, from (seed, item) pairs counted in dictionaries."""
    popularity = Counter(item for _, item in examples)
    after = Counter(item for s, item in examples if use_seed and s == seed and s != "")
    order = sorted(
        range(len(catalogue)),
        key=lambda at: (-after[catalogue[at]], -popularity[catalogue[at]], at),
    )
    return (0 if positive < 0 else 1 + order.index(positive)), order


def check(ranking, seeds, positives, examples, catalogue, k, use_seed):
    assert ranking.top.shape == (len(seeds), min(k, len(catalogue)))
    for query, (seed, positive) in enumerate(zip(seeds, positives, strict=True)):
        rank, order = naive_ranking(seed, positive, examples, catalogue, use_seed)
        assert ranking.ranks[query] == rank
        assert ranking.top[query].tolist() == order[:k]


ids = st.sampled_from(IDS)
examples_of_day = st.lists(st.tuples(st.sampled_from([*IDS[:5], ""]), ids), max_size=25)


@settings(max_examples=150, deadline=None)
@given(
    days=st.lists(examples_of_day, max_size=5),
    window=st.integers(1, 3),
    catalogue=st.lists(ids, unique=True),
    queries=st.lists(
        st.tuples(st.sampled_from([*IDS, "", "new"]), st.integers(-1, 11)), max_size=9
    ),
    k=st.integers(1, 14),
)
def test_ranks_and_top_equal_sorting_the_catalogue(days, window, catalogue, queries, k):
    most_popular, after_seed = MostPopular(window), AfterSeed(window)
    for number, examples in enumerate(days):
        made = counted(examples)
        most_popular.add_day(day(number), made[0])
        after_seed.add_day(day(number), *made)
    recent = [example for examples in days[-window:] for example in examples]
    seeds = [seed for seed, _ in queries]
    positives = np.array([min(at, len(catalogue) - 1) for _, at in queries], int)
    for baseline, use_seed in ((most_popular, False), (after_seed, True)):
        ranking = baseline.rank(seeds, positives, catalogue, k)
        check(ranking, seeds, positives, recent, catalogue, k, use_seed)


def test_what_is_removed_is_in_no_ranking_and_the_others_close_up():
    rng = np.random.default_rng(6)
    catalogue = [f"i{n}" for n in range(20)]
    examples = [(f"i{s}", f"i{i}") for s, i in np.minimum(*rng.integers(0, 20, (2, 90, 2)))]
    seeds = [f"i{s}" for s in rng.integers(0, 22, 30)]
    positives = rng.integers(-1, 20, 30)
    gone = [np.flatnonzero(rng.random(20) < share) for share in rng.random(30)]
    removed = Removed(np.repeat(np.arange(30), list(map(len, gone))), np.concatenate(gone))
    items, pairs = counted(examples)
    most_popular, after_seed = MostPopular(1), AfterSeed(1)
    most_popular.add_day(FIRST, items)
    after_seed.add_day(FIRST, items, pairs)
    for baseline, use_seed in ((most_popular, False), (after_seed, True)):
        ranking = baseline.rank(seeds, positives, catalogue, 8, removed)
        for query, seed in enumerate(seeds):
            _, order = naive_ranking(seed, -1, examples, catalogue, use_seed)
            left = [at for at in order if at not in gone[query]]
            positive = positives[query]
            assert ranking.ranks[query] == (left.index(positive) + 1 if positive in left else 0)
            assert ranking.top[query].tolist() == (left + [-1] * 8)[:8]


def test_a_larger_random_world_equals_sorting_too():
    rng = np.random.default_rng(5)
    catalogue = [f"i{n}" for n in range(300)]
    examples = [
        (f"i{int(s)}", f"i{int(i)}")
        for s, i in zip(rng.zipf(1.5, 3000) % 400, rng.zipf(1.3, 3000) % 350, strict=True)
    ]
    after_seed = AfterSeed(1)
    after_seed.add_day(FIRST, *counted(examples))
    seeds = [f"i{int(s)}" for s in rng.zipf(1.5, 60) % 450]
    positives = rng.integers(-1, 300, 60)
    ranking = after_seed.rank(seeds, positives, catalogue, k=50)
    check(ranking, seeds, positives, examples, catalogue, 50, use_seed=True)


def test_days_leave_the_window_by_their_date_not_by_their_number():
    popular = MostPopular(window_days=3)
    popular.add_day(day(0), counted([("", "a")] * 5)[0])
    popular.add_day(day(2), counted([("", "b")])[0])
    assert popular.counts(["a", "b"]).tolist() == [5, 1]
    popular.add_day(day(3), counted([])[0])
    assert popular.counts(["a", "b"]).tolist() == [0, 1]


def test_popularity_counts_examples_without_a_seed_but_nothing_follows_no_seed():
    after_seed = AfterSeed(window_days=1)
    examples = [("", "a"), ("", "a"), ("s", "b"), ("t", "c"), ("t", "c")]
    after_seed.add_day(FIRST, *counted(examples))
    catalogue = ["c", "b", "a"]
    top = after_seed.rank(["s", ""], np.array([0, 0]), catalogue, k=3).top
    assert [[catalogue[at] for at in row] for row in top] == [["b", "c", "a"], ["c", "a", "b"]]


@pytest.mark.parametrize("number", [0, 1])
def test_days_out_of_order_are_refused_and_change_nothing(number):
    after_seed = AfterSeed(window_days=7)
    after_seed.add_day(day(1), *counted([("s", "b")]))
    with pytest.raises(ValueError, match="in order"):
        after_seed.add_day(day(number), *counted([("s", "a")]))
    assert after_seed.rank(["s"], np.array([1]), ["a", "b"], 1).ranks.tolist() == [1]


def test_a_catalogue_with_an_item_twice_is_refused():
    with pytest.raises(ValueError, match="'a' comes twice"):
        MostPopular(1).rank(["s"], np.array([0]), ["a", "b", "a"], 1)


def test_a_window_without_days_is_refused():
    with pytest.raises(ValueError, match="window_days"):
        MostPopular(0)
