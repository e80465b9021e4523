"""The deployment that the work directories below ``workdirs/`` were made with: tiny."""

import datetime
import json
import pathlib
import tarfile

import yaml

HERE = pathlib.Path(__file__).parent
WORKDIRS = sorted((HERE / "workdirs").glob("*.tar.xz"))
DAYS = [datetime.date(2024, 3, day) for day in (1, 2, 3)]
CONFIGURATION = """\
name: tiny
source:
  events: {path: "events/{date}.jsonl"}
  items: {path: items.jsonl}
examples: {history_length: 3, shards: 1, reward: {column: stars, high: 3}}
tables:
  items: {buckets: 8, dim: 2}
query:
  features:
    - {name: history, kind: id_bag, table: items}
  layers: [2]
candidate:
  features:
    - {name: item_id, kind: id, table: items}
    - {name: length, kind: dense}
  layers: [2]
loss: {kind: corrected_softmax, temperature: 0.1}
estimator: {buckets: 8}
optimizer: {kind: adagrad, learning_rate: 0.05}
training: {batch_size: 8, tensorboard: false}
"""


def values() -> dict:
    """Returns the configuration as a mapping."""
    return yaml.safe_load(CONFIGURATION)


def unpack(archive: pathlib.Path, folder: pathlib.Path) -> str:
    """Unpacks a work directory, whose first day was built and trained on; returns where it is."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return str(folder)


def write_source(folder: pathlib.Path) -> str:
    """Writes the logs of all days and the catalogue; returns where they are."""
    (folder / "events").mkdir(parents=True)
    for day in DAYS:
        midnight = datetime.datetime(*day.timetuple()[:3], tzinfo=datetime.timezone.utc)
        events = [
            {
                "user_id": f"u{number % 5}",
                "item_id": f"i{(number * 7 + day.day) % 6}",
                "timestamp": int(midnight.timestamp()) + 3000 * number,
                "stars": number % 4,
            }
            for number in range(24)
        ]
        lines = "".join(json.dumps(event) + "\n" for event in events)
        (folder / "events" / f"{day}.jsonl").write_text(lines)
    items = [{"item_id": f"i{number}", "length": number} for number in range(6)]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return str(folder)
