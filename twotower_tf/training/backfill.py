"""The backfill: the first days, trained on several times before the sequence of days begins.

One pass over a log, in its order, leaves a small model far behind what the same examples can teach
it. Yi et al. (2019, section 6.2) train on 15 days to catch up, and measure the days after them.
"""

import dataclasses
import datetime
from collections.abc import Callable, Sequence

from absl import logging

from twotower_tf.config import Config
from twotower_tf.storage import EXAMPLES, Workdir

# Measures the model as it is on the held-out examples of some days: the larger, the better.
Validate = Callable[[Sequence[datetime.date]], float]


@dataclasses.dataclass
class Passes:
    """The passes made so far.

    Attributes:
        recalls: What ``Validate`` said after each; empty where there is no ``patience``.
        done: How many there are.
    """

    done: int = 0
    recalls: list[float] = dataclasses.field(default_factory=list)

    @property
    def best(self) -> int:
        """The number of the best pass, from 1, of equal ones the first; or of the last pass."""
        return self.recalls.index(max(self.recalls)) + 1 if self.recalls else self.done

    def end(self, most: int, patience: int | None) -> bool:
        """Says whether no pass is to follow."""
        waited = patience is not None and self.recalls and self.done - self.best >= patience
        return self.done >= most or bool(waited)


def window_of(config: Config, workdir: Workdir, kind: str = EXAMPLES) -> list[datetime.date]:
    """Returns the days of the backfill, oldest first; none while the last isn't built yet.

    Days without a partition of examples, of a kind, are not in it.
    """
    backfill, days = config.training.backfill, workdir.days(kind)
    if backfill is None or not days:
        return []
    if backfill.until is not None:
        return [day for day in days if day <= backfill.until] if days[-1] >= backfill.until else []
    return days[: backfill.days] if len(days) >= backfill.days else []


def log_waiting(config: Config, workdir: Workdir, kind: str) -> None:
    """Says what the training waits for."""
    backfill, days = config.training.backfill, workdir.days(kind)
    end = backfill.until or f"{backfill.days} days are built, and {len(days)} are"
    logging.warning("nothing is trained yet: training.backfill waits until %s", end)
