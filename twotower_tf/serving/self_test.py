"""A release's self-test: a few queries with the answers it gave when it was made.

``assets.extra/self_test.json`` holds ``cases``, each with ``query``, ``k``, ``exclude_ids``,
``item_ids`` and ``scores``. With ranking it also has ``ranked``, the same of ``recommend``, with
the expected watch times as ``scores``.
"""

import os
from collections.abc import Callable, Sequence

from twotower_tf.errors import JobError
from twotower_tf.examples.schema import HISTORY_DAYS, HISTORY_DWELL, RawFeature
from twotower_tf.indexing.candidates.item_hashes import EXTRA
from twotower_tf.indexing.nominators.nominator import Nominator
from twotower_tf.serving.asking import Query, ask, ask_ranked
from twotower_tf.serving.serving_description import (
    asked_features,
    features_of,
    load_saved_model,
    ranked_features,
    read_serving,
)
from twotower_tf.storage import read_json, write_json

SELF_TEST_FILE = os.path.join(EXTRA, "self_test.json")
_RETRIEVED, _RANKED = "cases", "ranked"
_K = 10
_QUERIES = 4
_EXCLUDED = 3
# Other processors add in another order; scores nearer than this may change places.
_TOLERANCE = 1e-4

# A query and excluded items in, ids and scores out.
_Ask = Callable[[Query, Sequence[str]], list[tuple[str, float]]]


def sample_queries(
    features: Sequence[RawFeature], item_ids: Sequence[str], nominators: Sequence[Nominator] = ()
) -> list[Query]:
    """Returns a query of nothing but defaults, and some of people who saw items of a catalogue.

    Args:
        features: Those of the query and, with ranking, of the impression.
        item_ids: The catalogue's.
        nominators: Those beside the index, which are told of the same items.
    """
    queries: list[Query] = [{}]
    for number in range(_QUERIES - 1):
        seen = [str(item_ids[(number * 7 + step) % len(item_ids)]) for step in range(number + 1)]
        query: dict[str, object] = {}
        numbers = [float(step) for step in range(len(seen), 0, -1)]
        # As what was searched for, and as types of events, ids do as well as any text.
        pasts = {HISTORY_DAYS: numbers, HISTORY_DWELL: numbers}
        for raw in features:
            if raw.filled_in is not None:
                query[raw.name] = raw.type.of_past(pasts.get(raw.filled_in, seen))
            elif raw.of == "impression" and raw.type.is_list:
                query[raw.name] = pasts.get(raw.column, seen if raw.type.holds_text else numbers)
        for nominator in nominators:
            query.update(nominator.sample(seen))
        queries.append(query)
    return queries


def write(folder: str, serving: dict, queries: Sequence[Query]) -> None:
    """Asks a SavedModel and writes down what it answers.

    Args:
        folder: The SavedModel's, whole but for this.
        serving: Its description, which says what it takes.
        queries: Each is asked twice: without and with the best items excluded.
    """
    asking = _asking(load_saved_model(folder), serving)
    tests = {name: _asked_twice(ask_one, queries) for name, ask_one in asking.items()}
    write_json(os.path.join(folder, SELF_TEST_FILE), tests)


def queries_of(folder: str) -> list[Query]:
    """Returns the queries that a release's self-test asks.

    Raises:
        JobError: If it has none.
    """
    return [case["query"] for case in _tests(folder)["cases"] if not case["exclude_ids"]]


def self_test(folder: str) -> list[str]:
    """Asks a release its self-test again.

    Args:
        folder: The SavedModel's. One with a ScaNN index needs ScaNN's ops to be loaded, which is
            done here.

    Returns:
        What is not as it was, a line each; nothing: passed. Ids whose scores are as good as equal
        may change places.

    Raises:
        JobError: If it has no self-test.
    """
    tests = _tests(folder)
    asking = _asking(load_saved_model(folder), read_serving(folder))
    return [
        f"self-test {number} of {folder}: {problem}"
        for name, cases in tests.items()
        for number, case in enumerate(cases, start=1)
        if (problem := _difference(case, asking[name](case["query"], case["exclude_ids"])))
    ]


def _asking(loaded, serving: dict) -> dict[str, _Ask]:
    """Returns what asks each tested signature one query: with another number of queries at a time
    matrix products may round differently."""
    retrieved, ranked = asked_features(serving), ranked_features(serving)

    def retrieve(query: Query, excluded: Sequence[str]) -> list[tuple[str, float]]:
        return ask(loaded, retrieved, [query], _K, [excluded])[0]

    def rank(query: Query, excluded: Sequence[str]) -> list[tuple[str, float]]:
        (best,) = ask_ranked(loaded, ranked, [query], _K, [excluded])
        return [(one.item_id, one.expected_watch_seconds) for one in best]

    return {_RETRIEVED: retrieve, **({_RANKED: rank} if features_of(serving, "ranking") else {})}


def _asked_twice(ask_one: _Ask, queries: Sequence[Query]) -> list[dict]:
    """Returns cases of each query, those without excluded items first."""
    alone = [_case(ask_one, query, []) for query in queries]
    return alone + [_case(ask_one, case["query"], case["item_ids"][:_EXCLUDED]) for case in alone]


def _case(ask_one: _Ask, query: Query, excluded: list[str]) -> dict:
    answer = ask_one(query, excluded)
    return {
        "query": query,
        "k": _K,
        "exclude_ids": excluded,
        "item_ids": [item_id for item_id, _ in answer],
        "scores": [score for _, score in answer],
    }


def _tests(folder: str) -> dict[str, list[dict]]:
    values = read_json(os.path.join(folder, SELF_TEST_FILE))
    if values is None:
        raise JobError(f"release {folder} has no {SELF_TEST_FILE}")
    return values


def _difference(case: dict, answer: Sequence[tuple[str, float]]) -> str | None:
    if len(answer) != len(case["item_ids"]):
        return f"{len(answer)} items, expected {len(case['item_ids'])}"
    if not answer:
        return None
    for (item_id, score), expected in zip(answer, case["scores"], strict=True):
        if abs(score - expected) > _tolerance(expected):
            return f"item '{item_id}' has the score {score:.5f}, expected {expected:.5f}"
    got = {item_id for item_id, _ in answer}
    for item_id, score in zip(case["item_ids"], case["scores"], strict=True):
        # One that ties with the last may be replaced by another that does.
        if score > case["scores"][-1] + _tolerance(score) and item_id not in got:
            return f"item '{item_id}' is missing"
    return None


def _tolerance(score: float) -> float:
    # Watch times may be thousands of seconds.
    return _TOLERANCE * max(1.0, score)
