"""RecTools: EASE (Steck 2019) and SASRec (Kang and McAuley 2018)."""

import logging
import warnings

import numpy as np
import pandas as pd
from pytorch_lightning import Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import EASEModel, SASRecModel

from benchmarks.quality_data.problem import Problem
from benchmarks.quality_peers.implicit_models import rewarded_past

# EASE inverts a matrix of items by items: 8,000 take half a gigabyte.
_MOST_ITEMS = 8000
_SESSION = 50
_FULL_SOFTMAX_BELOW = 10_000
# Epochs: so many, but not of more sequences than what takes a minute or two.
_EPOCHS, _MOST_SEQUENCES, _MOST_SEQUENCES_SAMPLED = 25, 40_000, 20_000
# So many of the best items are asked for; those the user had before are taken out of them.
_DEPTH = 600
_AT_ONCE = 2000


def _dataset(users: np.ndarray, items: np.ndarray, times: np.ndarray) -> Dataset:
    columns = {Columns.User: users, Columns.Item: items, Columns.Weight: 1.0}
    frame = pd.DataFrame(columns | {Columns.Datetime: pd.to_datetime(times, unit="s")})
    return Dataset.construct(frame)


def _rewarded(problem: Problem, known: np.ndarray) -> np.ndarray:
    return known[problem.reward[known] > 0]


class Ease:
    """Linear regression of every item on all others, in closed form, on the items most acted on."""

    retrain_days = 0

    def __init__(self, seed: int, quick: bool):
        del seed, quick

    def fit(self, problem: Problem, known: np.ndarray) -> None:
        """Inverts."""
        rows = _rewarded(problem, known)
        counts = np.bincount(problem.item[rows], minlength=len(problem.item_ids))
        kept = np.argsort(-counts, kind="stable")[:_MOST_ITEMS]
        rows = rows[np.isin(problem.item[rows], kept)]
        dataset = _dataset(problem.user[rows], problem.item[rows], problem.time[rows])
        self._model = EASEModel(recommend_use_gpu_ranking=False)
        self._model.fit(dataset)
        self._items = dataset.item_id_map.external_ids.astype(np.int64)

    def scores(self, problem: Problem, queries: np.ndarray) -> np.ndarray:
        """Weights from all that the users did up to the event, summed."""
        scores = np.full((len(queries), len(problem.item_ids)), -np.inf, np.float32)
        past = (rewarded_past(problem, queries)[:, self._items] > 0).astype(np.float32)
        scores[:, self._items] = past @ self._model.weight
        scores[past.getnnz(axis=1) == 0] = -np.inf
        return scores


class SasRec:
    """A transformer over the user's sequence; the query's is its history and what is on screen."""

    retrain_days = 0

    def __init__(self, seed: int, quick: bool):
        warnings.simplefilter("ignore")
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
        self._seed, self._quick, self._epochs = seed, quick, 1

    def fit(self, problem: Problem, known: np.ndarray) -> None:
        """Trains on the last events of every user."""
        seed_everything(self._seed, verbose=False)
        rows = _rewarded(problem, known)
        few = len(np.unique(problem.item[rows])) < _FULL_SOFTMAX_BELOW
        if not self._quick:
            most = _MOST_SEQUENCES if few else _MOST_SEQUENCES_SAMPLED
            self._epochs = min(_EPOCHS, -(-most // len(np.unique(problem.user[rows]))))
        recent = max(len(problem.recent(query)) for query in range(len(problem.queries)))
        self._length = min(_SESSION, recent)
        self._model = SASRecModel(
            n_blocks=2,
            n_heads=2,
            n_factors=64,
            session_max_len=self._length,
            loss="softmax" if few else "sampled_softmax",
            n_negatives=128,
            batch_size=32,
            deterministic=True,
            get_trainer_func=self._trainer,
            recommend_torch_device="cpu",
        )
        dataset = _dataset(problem.user[rows], problem.item[rows], problem.time[rows])
        self._model.fit(dataset)
        self._recommend_to_all(problem)

    def _recommend_to_all(self, problem: Problem) -> None:
        # It leaves out users with one event, and so perhaps items.
        known_items = self._model.data_preparator.get_known_item_ids()
        self._known = np.isin(np.arange(len(problem.item_ids)), known_items)
        # A call takes seconds, whatever it is asked: not one a day, but a few for all.
        found = [
            self._recommend(problem, np.arange(start, min(start + _AT_ONCE, len(problem.queries))))
            for start in range(0, len(problem.queries), _AT_ONCE)
        ]
        best = pd.concat(found).sort_values(Columns.User, kind="stable")
        self._asked, self._items = best[Columns.User].to_numpy(), best[Columns.Item].to_numpy()
        self._scores = best[Columns.Score].to_numpy()

    def _trainer(self) -> Trainer:
        return Trainer(
            accelerator="cpu",
            max_epochs=self._epochs,
            deterministic=True,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=False,
        )

    def _recommend(self, problem: Problem, queries: np.ndarray) -> pd.DataFrame:
        recent = [problem.recent(query) for query in queries]
        recent = [items[self._known[items]][-self._length :] for items in recent]
        rows = np.repeat(queries, [len(items) for items in recent])
        asked = _dataset(rows, np.concatenate(recent), np.arange(len(rows)))
        users = np.unique(rows)
        return self._model.recommend(users, asked, k=_DEPTH, filter_viewed=False)

    def scores(self, problem: Problem, queries: np.ndarray) -> np.ndarray:
        """Of the best items for each sequence."""
        scores = np.full((len(queries), len(problem.item_ids)), -np.inf, np.float32)
        for row, query in enumerate(queries.tolist()):
            found = slice(*np.searchsorted(self._asked, [query, query + 1]))
            scores[row, self._items[found]] = self._scores[found]
        return scores
