"""A tiny deployment to build examples of: a source folder, a configuration, work directories."""

import contextlib
import datetime
import json
import pathlib
import random

import pytest

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.examples.building import build
from twotower_tf.examples.building.build import build_examples
from twotower_tf.examples.building.transforms import (
    MakeShards,
    ReadEvents,
    ReadImpressions,
    WriteRejected,
)
from twotower_tf.examples.encoding.tfrecord import read_records
from twotower_tf.examples.outcome import Outcome

DAY = datetime.date(2024, 3, 1)
# In the order in which a day publishes them.
PARTITIONS = (
    "rejected",
    "catalogue",
    "profiles",
    "histories",
    "counts",
    "statistics",
    "examples",
)
MIDNIGHT = int(datetime.datetime(2024, 3, 1, tzinfo=datetime.timezone.utc).timestamp())


class Deployment:
    """Events by day (or in one file), a catalogue and user profiles, in a temporary folder."""

    def __init__(self, root: pathlib.Path):
        self.root = root
        self.source = root / "source"
        self.values = {
            "name": "tiny",
            "source": {
                "events": {
                    "path": "events/dt={date}/*.jsonl",
                    # One column may be several things.
                    "columns": {
                        "seed_item_id": "seed",
                        "event_type": "device",
                        "dwell": "watched",
                    },
                },
                "items": {"path": "items.jsonl", "columns": {"published_at": "published"}},
                "users": {"path": "users.jsonl"},
            },
            "examples": {
                "history_length": 4,
                "holdout_share": 0.3,
                "shards": 2,
                "reward": {"column": "watched", "divided_by": "length", "low": 0.1},
            },
            "tables": {"items": {"buckets": 10, "dim": 4}, "tags": {"buckets": 10, "dim": 4}},
            "query": {
                "features": [
                    {"name": "seed_item_id", "kind": "id", "table": "items"},
                    {"name": "history", "kind": "id_bag", "table": "items"},
                    {
                        "name": "recent",
                        "column": "history",
                        "kind": "id_bag",
                        "encode": "item",
                        "encoder": {
                            "kind": "recency",
                            "times": True,
                            "types": ["phone"],
                            "dwell": True,
                        },
                        "max_length": 2,
                    },
                    {"name": "basket", "kind": "id_bag", "table": "items"},
                    {"name": "device", "kind": "category"},
                    {"name": "country", "kind": "category", "of": "user"},
                    {"name": "years", "kind": "dense", "of": "user", "default": 33.0},
                    {"name": "tenure", "kind": "age", "of": "user", "since": "joined"},
                ],
                "layers": [4],
            },
            "candidate": {
                "features": [
                    {"name": "item", "column": "item_id", "kind": "id", "table": "items"},
                    {
                        "name": "tags",
                        "kind": "weighted_id_bag",
                        "table": "tags",
                        "weights": "tag_weights",
                        "max_length": 2,
                    },
                    {"name": "age", "kind": "age", "since": "published", "serving_days": 5.0},
                    {"name": "length", "kind": "dense", "default": 7.0},
                ],
                "layers": [4],
            },
        }

    def with_histories_of_the_log(self) -> None:
        """Says that the events bring their histories, in the column ``path``."""
        self.values["source"]["events"]["columns"]["history"] = "path"
        # Of which the log gives neither times nor what is in a basket.
        self.values["query"]["features"][2]["encoder"] = "recency"
        del self.values["query"]["features"][3]

    def config(self, **examples) -> Config:
        """Returns the configuration, with values of its section ``examples`` replaced."""
        values = {**self.values, "examples": {**self.values["examples"], **examples}}
        return Config.model_validate(values)

    def in_one_file(self) -> None:
        """Lets all events be in one file."""
        self.values["source"]["events"]["path"] = "events.jsonl"

    def write(self, path: str, records: list) -> pathlib.Path:
        """Writes records as JSON lines; bytes and text go in as they are."""
        file = self.source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [record if isinstance(record, bytes) else _line(record) for record in records]
        file.write_bytes(b"".join(line + b"\n" for line in lines))
        return file

    def write_day(self, day: datetime.date, records: list, name: str = "log") -> pathlib.Path:
        """Writes the events of a day to its folder."""
        return self.write(f"events/dt={day}/{name}.jsonl", records)

    def write_usual(self, items: int = 6, users: int = 5) -> None:
        """Writes a catalogue, and profiles of some of the users."""
        self.write("items.jsonl", [item(number) for number in range(items)])
        profiles = [
            {"user_id": f"u{n}", "country": f"c{n}", "years": 20 + n, "joined": MIDNIGHT - n * 3600}
            for n in range(users)
        ]
        self.write("users.jsonl", profiles)

    def workdir(self, name: str = "work") -> storage.Workdir:
        """Returns a work directory."""
        return storage.Workdir(str(self.root / name))

    def files(self, name: str = "work") -> dict[str, bytes]:
        """Returns all files below the partitions' folders, hidden ones too."""
        root = self.root / name
        return {
            str(path.relative_to(root)): path.read_bytes()
            for kind in PARTITIONS
            for path in (root / kind).rglob("*")
            if path.is_file()
        }

    def published(self, name: str = "work") -> dict[str, list[datetime.date]]:
        """Returns the published days of every kind of partition."""
        workdir = self.workdir(name)
        return {kind: workdir.days(kind) for kind in PARTITIONS}

    def build(
        self, days: list[datetime.date], name: str = "work", **examples
    ) -> dict[datetime.date, dict]:
        """Builds days into a work directory and returns their counts."""
        return build_examples(self.config(**examples), self.workdir(name), str(self.source), days)


def _line(record) -> bytes:
    return json.dumps(record).encode()


def item(number: int, **values) -> dict:
    """Returns a catalogue record."""
    return {
        "item_id": f"i{number}",
        "published": MIDNIGHT + (3 - number) * 43_200,
        "length": 100 + number,
        "tags": [f"t{number}", "all", "last"],
        "tag_weights": [0.5, 0.25, number],
        **values,
    }


def parse(record: bytes) -> dict[str, list]:
    """Returns an example's values by key, text decoded, read by TensorFlow itself."""
    # Here, since it takes seconds that most tests need not wait.
    from tensorflow import train

    values = {}
    for key, feature in train.Example.FromString(record).features.feature.items():
        kind = feature.WhichOneof("kind")
        value = list(getattr(feature, kind).value)
        values[key] = [text.decode() for text in value] if kind == "bytes_list" else value
    return values


def shards_of(
    workdir: storage.Workdir, day: datetime.date, kind: str = "examples"
) -> dict[str, list[dict]]:
    """Returns the parsed examples of a day by file."""
    partition = workdir.partition(kind, day)
    return {
        shard["file"]: [parse(record) for record in read_records(partition.file(shard["file"]))]
        for shard in partition.manifest()["shards"]
    }


def run_steps(plan, beam_args) -> Outcome:
    """Runs the steps of the transforms, their elements in random order."""
    rng = random.Random(len(plan.splits))
    make, reject = MakeShards(plan), WriteRejected(plan)
    chunks: dict = {shard: [] for shard in range(plan.config.examples.shards)}
    rejected: dict = {}
    reports = []
    for read, splits in (
        (ReadEvents(plan), plan.splits),
        (ReadImpressions(plan), plan.impression_splits),
    ):
        if splits:
            read.setup()
        for split in rng.sample(splits, len(splits)):
            for element in read.process(split):
                # What has no tag is the main output.
                tag, value = getattr(element, "tag", "chunks"), getattr(element, "value", element)
                if tag == "chunks":
                    chunks[value[0]].append(value[1])
                elif tag == "rejected":
                    rejected.setdefault(value[0], []).append(value[1])
                else:
                    reports.append(value)
    make.setup()
    for shard, places in chunks.items():
        reports += make.process((shard, rng.sample(places, len(places))))
    for group in rejected.items():
        reports += reject.process(group)
    return Outcome(json.loads(json.dumps(reports)))


def event(user: int, item_number: int, second: int, **values) -> dict:
    """Returns an event record, so many seconds after midnight of the first day."""
    return {
        "user_id": f"u{user}",
        "item_id": f"i{item_number}",
        "timestamp": MIDNIGHT + second,
        "watched": 50,
        "seed": "",
        "device": "",
        **values,
    }


@pytest.fixture
def deployment(tmp_path) -> Deployment:
    """A deployment whose catalogue and profiles are written, without events."""
    made = Deployment(tmp_path)
    made.write_usual()
    return made


@pytest.fixture(scope="session")
def new_deployment():
    """The function that makes a deployment in a folder, its catalogue and profiles written."""

    def make(root: pathlib.Path) -> Deployment:
        made = Deployment(root)
        made.write_usual()
        return made

    return make


@pytest.fixture(scope="session")
def make_event():
    """The function ``event``."""
    return event


@pytest.fixture(scope="session")
def make_item():
    """The function ``item``."""
    return item


@pytest.fixture(scope="session")
def days() -> list[datetime.date]:
    """Four days in a row."""
    return [DAY + datetime.timedelta(days=n) for n in range(4)]


@pytest.fixture(scope="session")
def read_shards():
    """The function from a work directory and a day to the day's examples by file."""
    return shards_of


@pytest.fixture(scope="session")
def read_day():
    """The function from a work directory and a day to all the day's examples."""
    return lambda workdir, day: [one for shard in shards_of(workdir, day).values() for one in shard]


@pytest.fixture(scope="session")
def without_beam():
    """The context in which builds run the transforms' own steps, without Beam around them."""

    @contextlib.contextmanager
    def patched():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(build, "_run", run_steps)
            yield

    return patched
