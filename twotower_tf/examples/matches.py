"""How many ids of the logs find what they name: seeds and histories items, users their profiles.

Ids that are spelt in two ways (``6.0`` and ``6``, padded, of another system) match nothing, and
nothing breaks: only the share tells.
"""

import dataclasses
import datetime
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from absl import logging

from twotower_tf.examples.outcome import Outcome, Report, count, unmatched

ITEMS, SEEDS, HISTORIES, PROFILES = "items", "seeds", "histories", "profiles"
_WORDS = {
    ITEMS: ("events", "are on items of the catalogue"),
    SEEDS: ("seed items", "are in the catalogue"),
    HISTORIES: ("items of histories", "are in the catalogue"),
    PROFILES: ("users", "are among the profiles"),
}


@dataclasses.dataclass(frozen=True)
class Match:
    """How often the ids of a day found what they name.

    Attributes:
        given: How many there were.
        matched: How many of them found it.
        example: One that did not; None: all did.
    """

    given: int
    matched: int
    example: str | None = None

    @property
    def share(self) -> float | None:
        """The share that did, None without ids."""
        return self.matched / self.given if self.given else None


def reports(days: np.ndarray, what: str, ids: pa.Array, found: np.ndarray) -> Iterator[Report]:
    """Reports how many of some ids found what they name, by day.

    Args:
        days: The day of each, int [n].
        what: One of the constants above.
        ids: string [n], ``""``: none.
        found: bool [n].
    """
    given = pc.not_equal(ids, "").to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(given)
    distinct, places = np.unique(days[rows], return_inverse=True)
    total = np.bincount(places, minlength=len(distinct)).tolist()
    matched = np.bincount(places, weights=found[rows], minlength=len(distinct)).tolist()
    for day, of_day, matched_of_day in zip(distinct.tolist(), total, matched, strict=True):
        yield count(day, f"{what} given", of_day)
        yield count(day, f"{what} matched", matched_of_day)
    missed = rows[~found[rows]]
    for day, first in zip(*np.unique(days[missed], return_index=True), strict=True):
        yield unmatched(int(day), what, ids[int(missed[first])].as_py())


def of_day(outcome: Outcome, day: datetime.date) -> dict[str, Match]:
    """Returns the matches of a day, of what there was."""
    number, found = day.toordinal(), {}
    for what in _WORDS:
        given = outcome.counts[number, f"{what} given"]
        if given:
            matched = outcome.counts[number, f"{what} matched"]
            found[what] = Match(given, matched, outcome.unmatched.get((number, what)))
    return found


def tell(matches: dict[str, Match], day: datetime.date, least: float) -> None:
    """Logs the shares of a day; of those below ``least`` also a warning, with an id that missed."""
    if matches:
        logging.info("%s: %s", day, ", ".join(worded(matches)))
    for warning in warnings(matches, least):
        logging.warning("%s: %s", day, warning)


def worded(matches: dict[str, Match]) -> list[str]:
    """Words how many ids of each kind found what they name."""
    return [f"{_worded(what, match)} ({match.share:.1%})" for what, match in matches.items()]


def warnings(matches: dict[str, Match], least: float) -> list[str]:
    """Words which shares are below ``least``, each with an id that missed."""
    return [
        f"only {_worded(what, match)}; '{match.example}' is not: ids must be spelt alike everywhere"
        for what, match in matches.items()
        if match.share < least
    ]


def _worded(what: str, match: Match) -> str:
    ids, found = _WORDS[what]
    return f"{match.matched:,} of {match.given:,} {ids} {found}"
