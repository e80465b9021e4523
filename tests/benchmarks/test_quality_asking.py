"""What the quality benchmark asks and measures, on made-up events: against naive Python."""

import datetime
import math

import numpy as np
import pytest

from benchmarks import quality
from benchmarks.quality_data.problem import Problem
from benchmarks.quality_peers.asking import AT, ask, best_items, measure
from benchmarks.quality_peers.baselines import AfterSeed, MostPopular, OwnItems
from benchmarks.quality_report import beaten, over_seeds
from tests.example_counts import table_of
from twotower_tf.evaluation import baselines
from twotower_tf.examples import counts

USERS, ITEMS, DAYS, WINDOW, EVENTS = 12, 150, 9, 3, 900


def make_problem(seed: int = 0) -> Problem:
    """Returns random events; half of the catalogue appears on the last day only."""
    random = np.random.default_rng(seed)
    user = random.integers(0, USERS, EVENTS)
    item = np.minimum(random.geometric(0.04, EVENTS) - 1, ITEMS - 1)
    time = np.sort(random.integers(0, DAYS * 86_400, EVENTS))
    day = time // 86_400
    held_out = random.random(EVENTS) < 0.3
    last: dict[int, int] = {}
    seeds = []
    for one, thing in zip(user.tolist(), item.tolist(), strict=True):
        seeds.append(last.get(one, -1))
        last[one] = thing
    reward = random.choice([0.0, 0.5, 1.0], EVENTS)
    asked = held_out & (day >= DAYS - WINDOW) & (reward > 0)
    available = np.ones((WINDOW, ITEMS), bool)
    available[:-1, ITEMS // 2 :] = False
    return Problem(
        item_ids=np.array([f"i{number:03d}" for number in range(ITEMS)]),
        user_ids=np.array([f"u{number:02d}" for number in range(USERS)]),
        days=np.array([f"2026-01-0{number + 1}" for number in range(DAYS)]),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        on_screen=np.full(EVENTS, -1, np.int32),
        seed=np.array(seeds, np.int32),
        time=time,
        reward=reward.astype(np.float32),
        day=day.astype(np.int32),
        held_out=held_out,
        available=available,
        history=np.zeros(0, np.int32),
        history_splits=np.zeros(1 + asked.sum(), np.int64),
        item_features={},
        user_features={"age": np.array(["9"] * USERS)},
        baseline_days=4,
    )


class Fixed:
    """Has an opinion of every third item, another one for every query."""

    retrain_days = 2

    def __init__(self):
        self.known = []

    def fit(self, problem, known):
        self.known.append(known)

    def scores(self, problem, queries):
        scores = np.full((len(queries), ITEMS), -np.inf)
        for row, query in enumerate(queries):
            scores[row, ::3] = np.random.default_rng(query).permutation(len(scores[row, ::3])) // 2
        return scores


@pytest.fixture(scope="module")
def problem():
    return make_problem()


def naive_list(scores, available, popular, unwanted):
    usable = [i for i in range(ITEMS) if available[i] and i not in unwanted]
    scored = sorted((i for i in usable if scores[i] > -np.inf), key=lambda i: (-scores[i], i))
    return (scored + [i for i in popular if i in usable and i not in scored])[: max(AT)]


def test_lists_are_the_best_available_items_then_the_most_popular_ones(problem):
    method = Fixed()
    answers = ask(method, problem)
    days = problem.day[problem.queries] - problem.first_day
    for query, number in enumerate(days.tolist()):
        known = method.known[number // 2]
        counts = np.bincount(problem.item[known], minlength=ITEMS)
        popular = sorted(range(ITEMS), key=lambda i: (-counts[i], i))
        scores = method.scores(problem, np.array([query]))[0]
        row = problem.queries[query]
        past = {
            item
            for item, user, time in zip(problem.item, problem.user, problem.time, strict=True)
            if user == problem.user[row] and time < problem.time[row]
        }
        for top, unwanted in ((answers.top, set()), (answers.top_new, past)):
            expected = naive_list(scores, problem.available[number], popular, unwanted)
            assert top[query][top[query] >= 0].tolist() == expected


@pytest.mark.parametrize("levels", [3, 50, 10_000])
def test_best_items_of_a_large_catalogue_are_those_of_sorting(levels):
    random = np.random.default_rng(levels)
    scores = random.integers(0, levels, (4, 20_000)).astype(np.float64)
    scores[random.random(scores.shape) < 0.3] = -np.inf
    scores[3, 70:] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, : max(AT)]
    expected[3, (scores[3] > -np.inf).sum() :] = -1
    np.testing.assert_array_equal(best_items(scores), expected)


def test_a_method_knows_the_training_examples_before_the_day_that_it_is_trained_for(problem):
    method = Fixed()
    ask(method, problem)
    first = DAYS - WINDOW
    for known, day in zip(method.known, (first, first + 2), strict=True):
        expected = [
            row for row in range(EVENTS) if problem.day[row] < day and not problem.held_out[row]
        ]
        assert known.tolist() == expected


def test_figures_are_those_of_naive_counting(problem):
    answers = ask(Fixed(), problem)
    measured = measure(answers, problem)
    items = problem.item[problem.queries].tolist()
    lists = [row.tolist() for row in answers.top]
    new = []
    for query, item in enumerate(items):
        if item not in problem.item[problem.past(query)].tolist():
            new.append(
                answers.top_new[query].tolist().index(item)
                if item in answers.top_new[query]
                else 999
            )
    for k in AT:
        hits = [item in row[:k] for item, row in zip(items, lists, strict=True)]
        assert measured["recall"][str(k)] == pytest.approx(sum(hits) / len(items))
        gains = [
            1 / math.log2(2 + row.index(item)) if item in row[:k] else 0.0
            for item, row in zip(items, lists, strict=True)
        ]
        assert measured["ndcg"][str(k)] == pytest.approx(sum(gains) / len(items))
        assert measured["recall_new"][str(k)] == pytest.approx(np.mean([one < k for one in new]))
    assert 0 < measured["held_out_new"] < measured["held_out"] == len(items)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(MostPopular, baselines.MostPopular), (AfterSeed, baselines.AfterSeed)],
)
def test_baselines_rank_like_the_pipeline(problem, ours, theirs):
    answers = ask(ours(seed=0, quick=False), problem)
    counted = theirs(problem.baseline_days)
    days = problem.day[problem.queries]
    for day in range(DAYS):
        of_day = np.flatnonzero(days == day)
        if len(of_day):
            rows = problem.queries[of_day]
            kept = np.flatnonzero(problem.available[day - problem.first_day])
            seeds = ["" if s < 0 else problem.item_ids[s] for s in problem.seed[rows]]
            ranking = counted.rank(
                seeds, np.full(len(rows), -1), problem.item_ids[kept].tolist(), max(AT)
            )
            size = ranking.top.shape[1]
            np.testing.assert_array_equal(kept[ranking.top], answers.top[of_day, :size])
        trained = np.flatnonzero(~problem.held_out & (problem.day == day))
        items = problem.item_ids[problem.item[trained]].tolist()
        seeds = ["" if s < 0 else problem.item_ids[s] for s in problem.seed[trained]]
        date = datetime.date(2026, 1, 1 + day)
        every = table_of(seeds, items)
        by_item, pairs = counts.of_items(every), counts.with_seed_item(every)
        both = (by_item,) if theirs is baselines.MostPopular else (by_item, pairs)
        counted.add_day(date, *both)


def test_own_items_are_in_order_of_count_and_then_of_the_last_time(problem):
    answers = ask(OwnItems(seed=0, quick=False), problem)
    for query, row in enumerate(problem.queries.tolist()):
        own = [
            item
            for item, user, time in zip(problem.item, problem.user, problem.time, strict=True)
            if user == problem.user[row] and time < problem.time[row]
        ]
        usable = problem.available[problem.day[row] - problem.first_day]
        last = {item: place for place, item in enumerate(own)}
        expected = sorted(last, key=lambda item: (-own.count(item), -last[item]))
        expected = [item for item in expected if usable[item]][: max(AT)]
        assert answers.top[query, : len(expected)].tolist() == expected


def test_a_saved_problem_is_read_back(problem, tmp_path):
    problem.save(tmp_path / "problem.npz")
    read = Problem.load(tmp_path / "problem.npz")
    assert read.fingerprint() == problem.fingerprint()
    assert read.baseline_days == 4
    assert read.user_features["age"].tolist() == ["9"] * USERS


def asked(problem, **changed):
    one = measure(ask(MostPopular(0, False), problem), problem)
    return one | {"asked": problem.fingerprint()} | changed


def test_who_was_asked_about_other_events_fails_the_benchmark(problem):
    figures = {"most_popular": asked(problem)}
    quality.check(figures, problem)
    other = make_problem(seed=1)
    with pytest.raises(RuntimeError, match="als was not asked about the same"):
        quality.check(figures | {"als": asked(other)}, problem)
    by_day = [int((problem.day[problem.queries] == day).sum()) for day in range(DAYS)][-WINDOW:]
    counts = {str(number): count for number, count in enumerate(by_day)}
    theirs = asked(problem, asked=None, held_out_by_day=counts)
    quality.check(figures | {"pipeline/most_popular": theirs}, problem)
    wrong = theirs | {"recall": {k: recall + 1e-6 for k, recall in theirs["recall"].items()}}
    with pytest.raises(RuntimeError, match=r"other events"):
        quality.check(figures | {"pipeline/most_popular": wrong}, problem)
    moved = theirs | {"held_out_by_day": counts | {"0": by_day[0] + 1}}
    with pytest.raises(RuntimeError, match="was not asked about the same"):
        quality.check(figures | {"ours": moved}, problem)


def test_means_and_standard_errors_are_of_the_seeds():
    runs = [
        {
            "seconds": seconds,
            "cpu_seconds": 2 * seconds,
            "ndcg": {"10": value},
            "recall": {"10": value},
            "coverage": {"10": value},
            "recall_new": None,
        }
        for seconds, value in ((1.0, 0.1), (2.0, 0.2), (6.0, 0.6))
    ]
    summed = over_seeds(runs)
    assert (summed["seconds"], summed["cpu_seconds"]) == (3.0, 6.0)
    assert summed["recall"]["10"]["mean"] == pytest.approx(0.3)
    expected = np.std([0.1, 0.2, 0.6], ddof=1) / 3**0.5
    assert summed["recall"]["10"]["standard_error"] == pytest.approx(expected)
    assert over_seeds(runs[:1])["recall"]["10"]["standard_error"] is None
    assert summed["recall_new"] is None


def test_beaten_is_ours_over_theirs_at_each_k_by_both_protocols():
    def of(recall, new):
        by_k = {k: {"mean": recall, "standard_error": None} for k in ("10", "50", "100")}
        new = new and {k: {"mean": new, "standard_error": None} for k in ("10", "50", "100")}
        return {"recall": by_k, "recall_new": new}

    methods = {
        "ours": of(0.3, 0.1),
        "ours_frozen": of(0.2, None),
        "pipeline/most_popular": of(1, 1),
    }
    methods |= {"als": of(0.2, 0.2), "bm25": of(0.0, None)}
    found = beaten(methods)
    assert set(found) == {"als", "bm25"}
    assert found["als"]["recall"]["50"] == {"beaten": True, "ratio": pytest.approx(1.5)}
    assert found["als"]["recall_new"]["10"] == {"beaten": False, "ratio": pytest.approx(0.5)}
    assert found["bm25"] == {"recall": {k: {"beaten": True, "ratio": None} for k in ("10", "50")}}
    assert beaten({"als": of(0.2, 0.2)}) == {}
