"""LibRecommender's TwoTower: ids and features of users and items, batch softmax with correction."""

import numpy as np
import pandas as pd
from libreco.algorithms import TwoTower
from libreco.data import DatasetFeat

import tensorflow as tf  # isort: skip  (after libreco, which chooses the first version's graphs)

from benchmarks.quality_data.problem import Problem

# A feature with a value of its own for nearly every item says nothing that the id doesn't.
_MOST_VALUES = 5000


class LibrecoTwoTower:
    """Knows users by what they are, not by what they did last; new users get the popular items."""

    retrain_days = 0

    def __init__(self, seed: int, quick: bool):
        self._seed, self._epochs = seed, 1 if quick else 10

    def fit(self, problem: Problem, known: np.ndarray) -> None:
        """Trains with the library's settings, but unit vectors and a temperature."""
        rows = known[problem.reward[known] > 0]
        frame = {"user": problem.user[rows], "item": problem.item[rows], "label": 1}
        columns = {}
        for of, features in (("user", problem.user_features), ("item", problem.item_features)):
            few = {n: v for n, v in features.items() if len(np.unique(v)) <= _MOST_VALUES}
            few = {f"{of}_{name}": values for name, values in few.items()}
            frame |= {name: values[frame[of]] for name, values in few.items()}
            columns[of] = list(few)
        data, info = DatasetFeat.build_trainset(
            pd.DataFrame(frame),
            user_col=columns["user"],
            item_col=columns["item"],
            sparse_col=columns["user"] + columns["item"],
            seed=self._seed,
        )
        tf.compat.v1.reset_default_graph()
        model = TwoTower(
            "ranking",
            info,
            loss_type="softmax",
            embed_size=32,
            hidden_units=(64, 32),
            norm_embed=True,
            temperature=0.1,
            n_epochs=self._epochs,
            lr=0.003,
            batch_size=256,
            seed=self._seed,
        )
        model.fit(data, neg_sampling=True, verbose=0, shuffle=True)
        self._users = dict(info.user2id)
        self._items = np.array(list(info.item2id))
        self._user_vectors = model.user_embeds_np
        self._item_vectors = model.item_embeds_np[list(info.item2id.values())]

    def scores(self, problem: Problem, queries: np.ndarray) -> np.ndarray:
        """Inner products, of the users that were there in training."""
        scores = np.full((len(queries), len(problem.item_ids)), -np.inf, np.float32)
        users = problem.user[problem.queries[queries]].tolist()
        known = np.array([user in self._users for user in users])
        rows = [self._users[user] for user in users if user in self._users]
        products = self._user_vectors[rows] @ self._item_vectors.T
        scores[np.ix_(known, self._items)] = products
        return scores
