"""Arms in a closed loop: what an arm's release shows is what its next one learns from.

Users of the simulated platform are split by a hash. On the first day all see pages of popular
items, new ones and those of channels they subscribed to. Each night each arm runs its daily job on
the logs of its own users, and the next day its release fills two thirds of their pages. Users click
and watch by their true tastes, and beside the pages they come and watch as they always do.
"""

import dataclasses
import datetime
import gc
import os
from collections.abc import Callable, Sequence

import numpy as np
from absl import logging

from twotower_tf import storage
from twotower_tf.binding import bind
from twotower_tf.daily import run_days
from twotower_tf.errors import JobError
from twotower_tf.examples.hashes import text_hash
from twotower_tf.releases.recommendation import Recommender
from twotower_tf.releases.releases import current
from twotower_tf.simulator.files import user_id
from twotower_tf.simulator.pages import RECOMMENDED
from twotower_tf.simulator.simulator import Simulator, SimulatorSettings
from twotower_tf.storage import Workdir
from twotower_tf.storage.whole_files import whole_file
from twotower_tf.studies.arm_figures import Sums
from twotower_tf.studies.arm_release import ArmRelease
from twotower_tf.studies.closed_loop_plan import Arm

# An item is fresh on the day of its publication and the day after.
_FRESH_DAYS = 1


@dataclasses.dataclass(frozen=True)
class ClosedLoop:
    """What was shown to whom, and what came of it.

    Attributes:
        arms: Those that were compared.
        simulator: The platform.
        arm_of: int64 [users], the place of each user's arm.
        shown: The impressions of each day, by day; on the first one nothing was released yet.
    """

    arms: Sequence[Arm]
    simulator: Simulator
    arm_of: np.ndarray
    shown: dict[datetime.date, np.ndarray]

    @property
    def days(self) -> list[datetime.date]:
        """The days on which releases could be shown, which are what counts."""
        return list(self.shown)[1:]

    def sums(self, arm: int, days: Sequence[datetime.date] = ()) -> Sums:
        """Returns what the users of an arm saw and did on some days, on ``days`` without any.

        An item that was shown to a user on several of these days counts on the first of them.
        """
        days = list(days) or self.days
        users, members = self.simulator.settings.users, self.arm_of == arm
        sums: dict[str, list[np.ndarray]] = {}
        seen = self.shown[days[0]][["user", "item"]][:0]
        for day in days:
            shown = self.shown[day]
            for name, values in self._of_impressions(day).items():
                sums.setdefault(name, []).append(np.bincount(shown["user"], values, users))
            new = np.setdiff1d(shown[["user", "item"]], seen)
            seen = np.concatenate([seen, new])
            of_users = np.bincount(new["user"], minlength=users).astype(np.float64)
            sums.setdefault("distinct_items", []).append(of_users)
        sums["days"] = [np.ones(users)] * len(days)
        return {name: np.stack(of_days, axis=1)[members] for name, of_days in sums.items()}

    def _of_impressions(self, day: datetime.date) -> dict[str, np.ndarray]:
        """Returns what each impression of a day adds to its user's sums."""
        shown = self.shown[day]
        return {
            "shown": np.ones(len(shown)),
            "pages": shown["position"] == 0,
            "clicks": shown["clicked_at"] >= 0,
            "watched_seconds": shown["watched_seconds"],
            "expected_seconds": self.simulator.expected_of_shown(day, shown),
            "fresh": self.simulator.ages(day)[shown["item"]] <= _FRESH_DAYS,
        }


def run_closed_loop(
    arms: Sequence[Arm],
    settings: SimulatorSettings,
    folder: str,
    advance: Callable[[int], None] = lambda nights: None,
) -> ClosedLoop:
    """Runs all days; goes on where a call before this one in the same folder stopped.

    Args:
        arms: At least two.
        settings: Of the platform, with pages.
        folder: Of this machine: ``shown`` has what was shown, and a folder an arm its ``logs`` and
            its work directory, ``work``.
        advance: Told how many nights more are done; there are one an arm and day, but the last day.

    Raises:
        InputError: If an arm's configuration doesn't fit the platform's logs.
        JobError: If a night failed; one whose release a gate held back has not.
    """
    simulator = Simulator(settings)
    split = [text_hash(f"arm {settings.seed} {user_id(row)}") for row in range(settings.users)]
    arm_of = np.array(split, np.uint64) % np.uint64(len(arms))
    loop = ClosedLoop(arms, simulator, arm_of.astype(np.int64), {})
    for day in simulator.dates:
        shown = loop.shown[day] = _shown(loop, folder, day)
        if day < simulator.dates[-1]:
            for number in range(len(arms)):
                _night(loop, number, folder, day, shown)
                advance(1)
    return loop


def _shown(loop: ClosedLoop, folder: str, day: datetime.date) -> np.ndarray:
    """Returns the impressions of all users on a day, drawn or read."""
    path = os.path.join(folder, "shown", f"dt={day.isoformat()}.npy")
    if os.path.exists(path):
        return np.load(path)
    visits = loop.simulator.visits(day)
    items = np.full((len(visits), RECOMMENDED), -1)
    scores = np.zeros((len(visits), RECOMMENDED))
    for number, arm in enumerate(loop.arms):
        workdir = Workdir(os.path.join(folder, arm.name, "work"))
        if current(workdir, arm.config.name) is None:
            continue
        ours = loop.arm_of[visits["user"]] == number
        release = ArmRelease(Recommender(arm.config, workdir))
        items[ours], scores[ours] = release.recommend(visits[ours])
    shown = loop.simulator.show(day, visits, (items, scores))
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.save(file, shown)
    return shown


def _night(
    loop: ClosedLoop, number: int, folder: str, day: datetime.date, shown: np.ndarray
) -> None:
    """Writes the logs of an arm's users of a day, and runs the arm's daily job on them."""
    arm = loop.arms[number]
    logs = os.path.join(folder, arm.name, "logs")
    workdir = Workdir(os.path.join(folder, arm.name, "work"))
    bind(workdir, arm.config)
    loop.simulator.write_users(logs)
    loop.simulator.write_day(logs, day, shown, loop.arm_of == number)
    logging.info("%s: the night of %s", arm.name, day)
    try:
        run_days(arm.config, workdir, logs, [day])
    except JobError as error:
        record = storage.read_json(workdir.metrics_path("run_daily", day)) or {}
        if record.get("status") != "held":
            raise
        logging.warning("%s keeps the release it has: %s", arm.name, error)
    # Models and their graphs hang together in circles, and jobs look for such garbage seldom.
    gc.collect()
