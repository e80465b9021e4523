"""A release's self-test: a few queries with the answers it gave when it was made.

``assets.extra/self_test.json`` holds ``cases``, each with ``query``, ``k``, ``exclude_ids``,
``item_ids`` and ``scores``.
"""

import os
from collections.abc import Sequence

from twotower_tf.errors import JobError
from twotower_tf.examples.schema import HISTORY_DAYS, HISTORY_DWELL, RawFeature
from twotower_tf.indexing.candidates.item_hashes import EXTRA
from twotower_tf.indexing.nominators.nominator import Nominator
from twotower_tf.serving.asking import Query, ask
from twotower_tf.serving.serving_description import (
    asked_features,
    load_saved_model,
    read_serving,
)
from twotower_tf.storage import read_json, write_json

SELF_TEST_FILE = os.path.join(EXTRA, "self_test.json")
_K = 10
_QUERIES = 4
_EXCLUDED = 3
# Other processors add in another order; scores nearer than this may change places.
_TOLERANCE = 1e-4


def sample_queries(
    features: Sequence[RawFeature], item_ids: Sequence[str], nominators: Sequence[Nominator] = ()
) -> list[Query]:
    """Returns a query of nothing but defaults, and some of people who saw items of a catalogue.

    Args:
        features: Those of the query.
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
    loaded = load_saved_model(folder)
    questions: list[tuple[Query, Sequence[str]]] = [(query, ()) for query in queries]
    answers = _answers(loaded, serving, questions)
    best = [[item_id for item_id, _ in answer[:_EXCLUDED]] for answer in answers]
    again = list(zip(queries, best, strict=True))
    cases = [
        {
            "query": query,
            "k": _K,
            "exclude_ids": list(excluded),
            "item_ids": [item_id for item_id, _ in answer],
            "scores": [score for _, score in answer],
        }
        for (query, excluded), answer in zip(
            questions + again, answers + _answers(loaded, serving, again), strict=True
        )
    ]
    write_json(os.path.join(folder, SELF_TEST_FILE), {"cases": cases})


def queries_of(folder: str) -> list[Query]:
    """Returns the queries that a release's self-test asks.

    Raises:
        JobError: If it has none.
    """
    return [case["query"] for case in _cases(folder) if not case["exclude_ids"]]


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
    cases = _cases(folder)
    serving = read_serving(folder)
    questions = [(case["query"], case["exclude_ids"]) for case in cases]
    answers = _answers(load_saved_model(folder), serving, questions)
    return [
        f"self-test {number} of {folder}: {problem}"
        for number, (case, answer) in enumerate(zip(cases, answers, strict=True), start=1)
        if (problem := _difference(case, answer))
    ]


def _answers(loaded, serving: dict, questions: Sequence[tuple]) -> list:
    # One at a time: with another batch size, matrix products may round differently.
    return [
        ask(loaded, asked_features(serving), [query], _K, [excluded])[0]
        for query, excluded in questions
    ]


def _cases(folder: str) -> list[dict]:
    values = read_json(os.path.join(folder, SELF_TEST_FILE))
    if values is None:
        raise JobError(f"release {folder} has no {SELF_TEST_FILE}")
    return values["cases"]


def _difference(case: dict, answer: Sequence[tuple[str, float]]) -> str | None:
    if len(answer) != len(case["item_ids"]):
        return f"{len(answer)} items, expected {len(case['item_ids'])}"
    if not answer:
        return None
    for (item_id, score), expected in zip(answer, case["scores"], strict=True):
        if abs(score - expected) > _TOLERANCE:
            return f"item '{item_id}' has the score {score:.5f}, expected {expected:.5f}"
    got = {item_id for item_id, _ in answer}
    for item_id, score in zip(case["item_ids"], case["scores"], strict=True):
        # One that ties with the last may be replaced by another that does.
        if score > case["scores"][-1] + _TOLERANCE and item_id not in got:
            return f"item '{item_id}' is missing"
    return None
