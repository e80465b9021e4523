"""A tiny video site: its source files, its configuration, and its jobs run in this process."""

import contextlib
import copy
import dataclasses
import datetime
import importlib
import io
import json
import pathlib
import random
import re
import shutil

import pytest
import yaml

DAYS = [datetime.date(2024, 3, day) for day in range(1, 6)]
USERS, ITEMS, EVENTS_A_DAY = 30, 24, 150
SECONDS_PER_DAY = 86_400
_READS_SOURCE = ("build_examples", "run_daily")
_LOG_LINE = re.compile(r"\d\d:\d\d:\d\d ").match

CONFIGURATION = {
    "name": "site",
    "source": {
        "events": {"path": "events/{date}.jsonl", "columns": {"seed_item_id": "seed"}},
        "items": {"path": "items.jsonl", "columns": {"published_at": "published", "title": "name"}},
        "users": {"path": "users.jsonl"},
        "homepage": "https://example.org/site",
    },
    "examples": {
        "history_length": 5,
        "holdout_share": 0.2,
        "shards": 2,
        "reward": {"column": "watched", "divided_by": "length", "low": 0.1},
    },
    "tables": {"items": {"buckets": 64, "dim": 8}, "tags": {"buckets": 16, "dim": 4}},
    "query": {
        "features": [
            {"name": "seed_item_id", "kind": "id", "table": "items"},
            {"name": "history", "kind": "id_bag", "table": "items"},
            {"name": "device", "kind": "category"},
            {"name": "country", "kind": "category", "of": "user"},
        ],
        "layers": [8],
    },
    "candidate": {
        "features": [
            {"name": "item_id", "kind": "id", "table": "items"},
            {"name": "tags", "kind": "id_bag", "table": "tags"},
            {"name": "length", "kind": "dense"},
        ],
        "layers": [8],
    },
    "estimator": {"buckets": 1000, "initial_gap": 5},
    "training": {"batch_size": 16, "tensorboard": False},
    "evaluation": {"at": [1, 5, 10], "baseline_days": 2},
    "index": {"recall_at": 5},
    # Recall of a few dozen examples jumps from day to day.
    "gates": {"min_recall_ratio": 0.0},
}


def midnight(day: datetime.date) -> int:
    """Returns the Unix seconds at which a day begins."""
    return int(datetime.datetime(*day.timetuple()[:3], tzinfo=datetime.timezone.utc).timestamp())


def events_of(day: datetime.date, count: int = EVENTS_A_DAY) -> list[dict]:
    """Returns the events of a day, always the same, with no two alike; about half have a seed."""
    rng = random.Random(day.toordinal())
    records = []
    for number in range(count):
        item = min(rng.randrange(ITEMS), rng.randrange(ITEMS))
        record = {
            "user_id": f"u{rng.randrange(USERS)}",
            "item_id": f"i{item}",
            "timestamp": midnight(day) + number * (SECONDS_PER_DAY // count),
            "watched": rng.randrange(0, 120),
            "device": rng.choice(["tv", "phone"]),
        }
        if rng.random() < 0.5:
            record["seed"] = f"i{(item + 1) % ITEMS}"
        records.append(record)
    return records


def items_of_site() -> list[dict]:
    """Returns the catalogue; the last item is published after the last day."""
    return [
        {
            "item_id": f"i{number}",
            "name": f"Title {number}",
            "published": midnight(DAYS[-1]) + SECONDS_PER_DAY if number == ITEMS else 1_500_000_000,
            "tags": [f"t{number % 4}", "all"],
            "length": 60 + number,
        }
        for number in range(ITEMS + 1)
    ]


@dataclasses.dataclass(frozen=True)
class Run:
    """What a job did: its exit status and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The line on stderr that is no log line; there must be just one, an error's."""
        lines = [line for line in self.err.splitlines() if not _LOG_LINE(line)]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        return lines[0]


def run_job(job: str, *argv) -> Run:
    """Runs a job in this process."""
    main = importlib.import_module(f"pipelines.{job}").main
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([job, *map(str, argv)])
    return Run(status, out.getvalue(), err.getvalue())


class Site:
    """A source folder, a configuration file and a work directory below ``root``."""

    def __init__(self, root: pathlib.Path):
        self.root = root
        self.source = root / "source"
        self.workdir = root / "work"
        self.config = root / "site.yaml"
        self.values = copy.deepcopy(CONFIGURATION)

    def write(self, path: str, records: list) -> pathlib.Path:
        """Writes source records as JSON lines; bytes go in as they are."""
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in records]
        file.write_bytes(b"".join(line + b"\n" for line in lines))
        return file

    def write_day(self, day: datetime.date, records: list) -> pathlib.Path:
        """Writes the events of a day."""
        return self.write(f"events/{day}.jsonl", records)

    def write_usual(self) -> "Site":
        """Writes the catalogue, the profiles of most users, the events of all days."""
        self.write("items.jsonl", items_of_site())
        users = [{"user_id": f"u{n}", "country": f"c{n % 3}"} for n in range(USERS - 5)]
        self.write("users.jsonl", users)
        for day in DAYS:
            self.write_day(day, events_of(day))
        return self

    def run(self, job: str, *flags) -> Run:
        """Runs a job on this source, configuration and work directory."""
        self.config.write_text(yaml.safe_dump(self.values), encoding="utf-8")
        own = [f"--config={self.config}", f"--workdir={self.workdir}"]
        if job in _READS_SOURCE:
            own.append(f"--source={self.source}")
        return run_job(job, *own, *flags)

    def check(self, *flags) -> Run:
        """Runs the check of this source, which knows no work directory."""
        self.config.write_text(yaml.safe_dump(self.values), encoding="utf-8")
        return run_job("check", f"--config={self.config}", f"--source={self.source}", *flags)

    def copy(self, root: pathlib.Path) -> "Site":
        """Returns a copy of all of it."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        made = Site(root)
        made.values = copy.deepcopy(self.values)
        return made

    def metrics(self, job: str, day: datetime.date) -> dict | None:
        """Returns what a job measured of a day, None if it did not."""
        path = self.workdir / "metrics" / job / f"dt={day}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def manifest(self, kind: str, day: datetime.date) -> dict:
        """Returns the manifest of a partition."""
        return json.loads((self.workdir / kind / f"dt={day}" / "manifest.json").read_text())

    def releases(self) -> list[str]:
        """Returns the versions of the releases, oldest first."""
        return sorted(path.name for path in self.workdir.glob("releases/site/[0-9]*"))

    def days(self, kind: str) -> list[str]:
        """Returns the days whose folder is there, whole or not."""
        return sorted(path.name.removeprefix("dt=") for path in self.workdir.glob(f"{kind}/dt=*"))

    def made(self, day: datetime.date) -> list[str]:
        """Returns what there is of a day, whole or not, and what should have been cleared away."""
        traces = {path.parent.name for path in self.workdir.glob(f"*/dt={day}*")}
        traces |= {
            f"metrics/{path.parent.name}" for path in self.workdir.glob(f"metrics/*/*{day}*")
        }
        traces |= {
            f"release {name}" for name in self.releases() if name.startswith(f"{day:%Y%m%d}")
        }
        for pattern in ("**/.staging", "**/*.tmp-*", "**/*.lock", "build_examples"):
            traces |= {str(path) for path in self.workdir.glob(pattern)}
        return sorted(traces)

    def files(self, *kinds: str) -> dict[str, bytes]:
        """Returns all files below some folders of the work directory; of all without any."""
        return {
            str(path.relative_to(self.workdir)): path.read_bytes()
            for kind in kinds or ("",)
            for path in sorted((self.workdir / kind).rglob("*"))
            if path.is_file()
        }


@pytest.fixture(scope="session")
def days() -> list[datetime.date]:
    """Five days in a row, all of which have events."""
    return DAYS


@pytest.fixture(scope="session")
def job():
    """The function ``run_job``."""
    return run_job


@pytest.fixture(scope="session")
def day_events():
    """The function ``events_of``."""
    return events_of


@pytest.fixture(scope="session")
def make_site():
    """The class ``Site``."""
    return Site


@pytest.fixture
def site(tmp_path) -> Site:
    """A site with its source, on which no job ran yet."""
    return Site(tmp_path).write_usual()


@pytest.fixture(scope="session")
def finished_site(tmp_path_factory) -> Site:
    """A site whose first three days were done in one call; to be read, not to be changed."""
    made = Site(tmp_path_factory.mktemp("finished")).write_usual()
    made.first_run = made.run("run_daily", f"--start={DAYS[0]}", f"--end={DAYS[2]}")
    assert made.first_run.status == 0, made.first_run.err
    return made


@pytest.fixture
def finished(finished_site, tmp_path) -> Site:
    """A copy of the finished site, to be changed."""
    return finished_site.copy(tmp_path / "site")
