"""Asks a method about every held-out event of the window, and measures its answers.

A method has ``retrain_days``, how many days of the window one training serves; 0: all of them, as
a training takes too long to do it every night. Whatever is trained when: the user's past and the
history that a query brings go up to the event itself, for every method.
"""

import time
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from benchmarks.quality_data.problem import Problem

AT = (10, 50, 100)
_BATCH = 256


class Method(Protocol):
    """What can be asked."""

    retrain_days: int

    def fit(self, problem: Problem, known: np.ndarray) -> None:
        """Trains anew on some examples, in order of time."""

    def scores(self, problem: Problem, queries: np.ndarray) -> np.ndarray:
        """Returns [B, N] scores of all items; -inf where the method has nothing to say."""


class Answers:
    """The best items for every query: all, and again without those the user had before.

    Attributes:
        top, top_new: [Q, 100] int32, positions of items, best first; -1: none is left.
        seconds: What the trainings took.
    """

    def __init__(self, queries: int):
        self.top = np.full((queries, max(AT)), -1, np.int32)
        self.top_new = np.full((queries, max(AT)), -1, np.int32)
        self.seconds = 0.0


def ask(method: Method, problem: Problem) -> Answers:
    """Trains and asks, day by day of the window."""
    answers = Answers(len(problem.queries))
    days = problem.day[problem.queries]
    for number in range(len(problem.available)):
        day = problem.first_day + number
        if number == 0 or (method.retrain_days and number % method.retrain_days == 0):
            known = problem.known_before(day)
            start = time.perf_counter()
            method.fit(problem, known)
            answers.seconds += time.perf_counter() - start
            popular = _by_popularity(problem, known)
        for queries in _batches(np.flatnonzero(days == day)):
            scores = method.scores(problem, queries)
            scores[:, ~problem.available[number]] = -np.inf
            others = popular[problem.available[number][popular]]
            answers.top[queries] = _filled(best_items(scores), others, [()] * len(queries))
            past = [np.unique(problem.item[problem.past(query)]) for query in queries]
            for row, items in enumerate(past):
                scores[row, items] = -np.inf
            answers.top_new[queries] = _filled(best_items(scores), others, past)
    return answers


def _batches(queries: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(queries), _BATCH):
        yield queries[start : start + _BATCH]


def _by_popularity(problem: Problem, known: np.ndarray) -> np.ndarray:
    """Returns all items, those with most training examples first."""
    counts = np.bincount(problem.item[known], minlength=len(problem.item_ids))
    return np.argsort(-counts, kind="stable")


def best_items(scores: np.ndarray) -> np.ndarray:
    """Returns [B, 100] positions by falling score, ties by the lower position; -1: no score."""
    size = max(AT)
    best = np.full((len(scores), size), -1, np.int32)
    # The 100 blocks of items with the highest maxima hold 100 scores that reach the lowest of these
    # maxima: much cheaper to find than the 100th highest of all scores.
    block = max(1, scores.shape[1] // (16 * size))
    starts = np.arange(0, scores.shape[1], block)
    for row, one in enumerate(scores):
        maxima = np.maximum.reduceat(one, starts)
        bound = np.partition(maxima, -size)[-size] if len(maxima) > size else -np.inf
        scored = np.flatnonzero((one >= bound) & (one > -np.inf))
        order = np.lexsort((scored, -one[scored]))[:size]
        best[row, : len(order)] = scored[order]
    return best


def _filled(best: np.ndarray, popular: np.ndarray, unwanted: list) -> np.ndarray:
    """Fills up rows that are too short with the most popular items that they don't have."""
    size = best.shape[1]
    for row, one in enumerate(best):
        found = one[one >= 0]
        if len(found) < size:
            # So many of the most popular ones can be unusable, not more.
            near = popular[: size + len(found) + len(unwanted[row])]
            usable = near[~np.isin(near, np.append(found, unwanted[row]))]
            filled = np.append(found, usable)[:size]
            best[row, : len(filled)] = filled
    return best


def measure(answers: Answers, problem: Problem) -> dict:
    """Returns recall, NDCG and coverage of the answers, and the recall of what was new to a user.

    Every query has one relevant item, so the ideal DCG is 1. Coverage is a day's, the share of
    its catalogue that any of its queries got, averaged over the queries' days; the pipeline's is.
    """
    items = problem.item[problem.queries]
    place = _places(answers.top, items)
    had = np.array(
        [item in problem.item[problem.past(query)] for query, item in enumerate(items.tolist())]
    )
    new = _places(answers.top_new, items)[~had]
    days = problem.day[problem.queries]
    gains = 1.0 / np.log2(2.0 + place)
    return {
        "recall": {str(k): float(np.mean(place < k)) for k in AT},
        "ndcg": {str(k): float(np.mean(np.where(place < k, gains, 0.0))) for k in AT},
        "coverage": {str(k): _coverage(answers.top[:, :k], days, problem) for k in AT},
        "recall_new": {str(k): float(np.mean(new < k)) if len(new) else None for k in AT},
        "held_out": len(items),
        "held_out_new": len(new),
    }


def _places(top: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Returns each item's place in its list, from 0; the list's length where it is not in it."""
    found = top == items[:, np.newaxis]
    return np.where(found.any(axis=1), found.argmax(axis=1), top.shape[1])


def _coverage(top: np.ndarray, days: np.ndarray, problem: Problem) -> float:
    shares = []
    for number, available in enumerate(problem.available):
        of_day = top[days == problem.first_day + number]
        seen = np.unique(of_day[of_day >= 0])
        shares.append(len(of_day) * len(seen) / max(1, available.sum()))
    return sum(shares) / len(days)
