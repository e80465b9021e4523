"""What is measured of each method's ranking of the same held-out examples."""

import dataclasses

import numpy as np

from twotower_tf.config import Config
from twotower_tf.evaluation.day_metrics import REPEATS
from twotower_tf.evaluation.held_out import HeldOut
from twotower_tf.evaluation.metrics import recall_by_popularity, recalls, summarise
from twotower_tf.evaluation.repeats import Repeats, asked_repeats, repeats_of
from twotower_tf.evaluation.seeds import seeds_of
from twotower_tf.evaluation.user_days import user_days_of
from twotower_tf.indexing.ranking import Ranking, Removed


@dataclasses.dataclass(frozen=True)
class Popularity:
    """How often each of N items was acted on.

    Attributes:
        recent: int64 [N], in the training examples that the baselines count.
        trained: int64 [N], in all training examples so far; None: not asked for.
    """

    recent: np.ndarray
    trained: np.ndarray | None


class Measuring:
    """Measures rankings of a day's held-out examples; which of them count, the configuration says.

    Args:
        config: What to measure, of which examples.
        held_out: The Q examples.
        item_ids: The catalogue's N ids.
        positives: int64 [Q], the positions of what was acted on, -1: not in the catalogue.
    """

    def __init__(
        self, config: Config, held_out: HeldOut, item_ids: list[str], positives: np.ndarray
    ):
        self._at = config.evaluation.at
        self._asked = asked_repeats(config)
        self._seeds = seeds_of(config, held_out, item_ids)
        self._rows = np.arange(len(held_out))
        self._repeats: Repeats | None = None
        if self._asked is not None:
            self._repeats = repeats_of(held_out, item_ids, config.examples.own_length)
            if self._asked != "all":
                self._rows = self._repeats.of_kind(self._asked)
        self._positives = positives[self._rows]
        self._user_days = user_days_of(
            [held_out.user_ids[row] for row in self._rows],
            held_out.times[self._rows],
            [held_out.item_ids[row] for row in self._rows],
            self._positives,
            len(item_ids),
        )

    @property
    def removed(self) -> Removed | None:
        """What every method takes out of its rankings; None: nothing."""
        seen = self._repeats.seen if self._asked == "new" else None
        if seen is None or self._seeds is None:
            return seen or self._seeds
        return seen.with_others(self._seeds)

    def described(self) -> dict:
        """Returns how many examples and users count, and which if that can be told."""
        counts = {"held_out": len(self._rows), "users": len(self._user_days.first)}
        return counts if self._asked is None else {**counts, "repeats": self._asked}

    def measure(self, ranking: Ranking, popularity: Popularity) -> dict:
        """Returns the metrics of a ranking of all Q examples, as they can be written as JSON."""
        whole = ranking.ranks
        ranking = Ranking(whole[self._rows], ranking.top[self._rows])
        measured = summarise(ranking, self._positives, popularity.recent, self._at)
        measured |= self._user_days.measure(ranking.top, self._at)
        if self._asked == "all":
            measured["recall_by_repeat"] = self._by_repeat(whole)
        if popularity.trained is not None:
            measured["recall_by_popularity"] = recall_by_popularity(
                ranking.ranks, self._positives, popularity.trained, self._at
            )
        return measured

    def _by_repeat(self, ranks: np.ndarray) -> dict[str, dict]:
        rows = {kind: self._repeats.of_kind(kind) for kind in REPEATS}
        return {
            kind: {"held_out": len(some), "recall": recalls(ranks[some], self._at)}
            for kind, some in rows.items()
        }
