"""implicit: alternating least squares (Hu, Koren and Volinsky 2008) and nearest items.

Trained every week on all examples so far, the rewards as weights. A
query's user is what its user did up to the event: folded in by ALS, a row of counts for the rest.
"""

import numpy as np
import scipy.sparse
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender

from benchmarks.quality_data.problem import Problem

_NEIGHBOURS = 100


def rewarded(problem: Problem, rows: np.ndarray) -> scipy.sparse.csr_matrix:
    """Returns [U, N]: each user's summed rewards of each item."""
    rows = rows[problem.reward[rows] > 0]
    shape = (len(problem.user_ids), len(problem.item_ids))
    places = (problem.user[rows], problem.item[rows])
    return scipy.sparse.csr_matrix((problem.reward[rows], places), shape, np.float32)


def rewarded_past(problem: Problem, queries: np.ndarray) -> scipy.sparse.csr_matrix:
    """Returns [B, N]: the same of the past of each query's user."""
    pasts = [problem.past(query) for query in queries]
    rows = np.concatenate([np.zeros(0, np.int64), *pasts])
    numbers = np.repeat(np.arange(len(queries)), [len(past) for past in pasts])
    shape = (len(queries), len(problem.item_ids))
    values = problem.reward[rows]
    result = scipy.sparse.csr_matrix((values, (numbers, problem.item[rows])), shape, np.float32)
    result.eliminate_zeros()
    return result


class Als:
    """Matrix factorisation of who did what."""

    retrain_days = 7

    def __init__(self, seed: int, quick: bool):
        self._seed, self._iterations = seed, 3 if quick else 15

    def fit(self, problem: Problem, known: np.ndarray) -> None:
        """Factorises."""
        self._model = AlternatingLeastSquares(
            factors=64,
            regularization=10.0,
            alpha=5.0,
            iterations=self._iterations,
            random_state=self._seed,
        )
        self._model.fit(rewarded(problem, known), show_progress=False)

    def scores(self, problem: Problem, queries: np.ndarray) -> np.ndarray:
        """Inner products with the users' factors as of the event."""
        past = rewarded_past(problem, queries)
        users = self._model.recalculate_user(np.arange(len(queries)), past)
        scores = users @ self._model.item_factors.T
        scores[np.diff(past.indptr) == 0] = -np.inf
        return scores


class _NearestItems:
    retrain_days = 7

    def __init__(self, seed: int, quick: bool):
        del seed, quick

    def _model_of(self):
        raise NotImplementedError

    def fit(self, problem: Problem, known: np.ndarray) -> None:
        """Finds each item's neighbours."""
        model = self._model_of()
        model.fit(rewarded(problem, known), show_progress=False)
        self._similarity = model.similarity

    def scores(self, problem: Problem, queries: np.ndarray) -> np.ndarray:
        """Similarities to all that the user did, summed."""
        scores = (rewarded_past(problem, queries) @ self._similarity).toarray()
        scores[scores <= 0] = -np.inf
        return scores


class Bm25(_NearestItems):
    """Nearest items by BM25."""

    def _model_of(self):
        return BM25Recommender(K=_NEIGHBOURS)


class Cosine(_NearestItems):
    """Nearest items by the cosine of who did them."""

    def _model_of(self):
        return CosineRecommender(K=_NEIGHBOURS)
