"""User profiles against a dictionary of the source's records."""

import datetime
import json
import random

import pyarrow as pa
import pytest

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.errors import InputError
from twotower_tf.examples.hashes import text_hash
from twotower_tf.examples.users import profiles

DAY = datetime.date(2024, 1, 5)
SHARDS = 3


@pytest.fixture(scope="module")
def config() -> Config:
    return Config.model_validate(
        {
            "name": "users",
            "source": {
                "events": {"path": "e.csv"},
                "items": {"path": "i.csv"},
                "users": {"path": "u.jsonl", "columns": {"user_id": "id"}},
            },
            "examples": {"shards": SHARDS, "max_rejected_share": 0.1, "max_rejected": 0},
            "tables": {"t": {"buckets": 10, "dim": 2}},
            "query": {
                "features": [
                    {"name": "user_id", "column": "id", "of": "user", "kind": "id", "table": "t"},
                    {"name": "country", "of": "user", "kind": "category"},
                    {"name": "likes", "of": "user", "kind": "id_bag", "table": "t"},
                    {"name": "height", "of": "user", "kind": "dense", "default": 1.5},
                    {"name": "member", "of": "user", "kind": "age", "since": "joined"},
                    {"name": "device", "kind": "category"},
                ],
                "layers": [2],
            },
            "candidate": {
                "features": [{"name": "item_id", "kind": "id", "table": "t"}],
                "layers": [2],
            },
        }
    )


def _records(rng: random.Random, count: int) -> list[dict]:
    records = []
    for _ in range(count):
        record = {"id": f"u{rng.randrange(count)}", "likes": ["x", "y"][: rng.randrange(3)]}
        for name, value in (("country", "DE"), ("height", 1.8), ("joined", rng.randrange(10**9))):
            if rng.random() < 0.6:
                record[name] = value
        records.append(record)
    return records


def _expected(records: list[dict]) -> dict[str, dict]:
    """The last record of each user, as the features have it."""
    return {
        record["id"]: {
            "user_id": record["id"],
            "country": record.get("country", ""),
            "likes": record["likes"],
            "height": record.get("height", 1.5),
            "member": record.get("joined"),
        }
        for record in records
    }


def _stage(config, folder, lines: list[str]) -> tuple[profiles.StagedProfiles, list[SourceFile]]:
    """Stages lines, delivered in two files."""
    source, target = folder / "source", folder / "staged"
    source.mkdir()
    target.mkdir()
    middle = len(lines) // 2
    files = []
    for name, some in (("a.jsonl", lines[:middle]), ("b.jsonl", lines[middle:])):
        (source / name).write_text("".join(f"{line}\n" for line in some))
        files.append(SourceFile(str(source / name), "jsonl"))
    return profiles.stage_profiles(config, DAY, files, str(source), str(target)), files


def _lookup(config, folder, user_ids: list[str]) -> list[dict]:
    """Looks users of any shard up, each in their own."""
    rows = {}
    for shard in range(SHARDS):
        own = [user for user in user_ids if text_hash(user) % SHARDS == shard]
        path = str(folder / "staged" / profiles.file_name(shard, SHARDS))
        table, _ = profiles.lookup([path], pa.array(own, pa.string()), config)
        rows.update(zip(own, table.to_pylist(), strict=True))
    return [rows[user] for user in user_ids]


def test_the_last_record_of_a_user_is_found_and_users_without_one_are_null(
    config, tmp_path, monkeypatch
):
    monkeypatch.setattr(profiles, "_ROWS_AT_ONCE", 100)
    records = _records(random.Random(1), 3000)
    staged, _ = _stage(config, tmp_path, [json.dumps(record) for record in records])
    expected = _expected(records)
    user_ids = [f"u{n}" for n in range(3000)]
    nothing = dict.fromkeys(raw.name for raw in profiles.user_features(config))
    assert _lookup(config, tmp_path, user_ids) == [expected.get(one, nothing) for one in user_ids]
    duplicates = len(records) - len(expected)
    assert staged.counts() == {
        "read": 3000,
        "users": len(expected),
        "duplicates": duplicates,
        "rejected": 0,
    }
    found = sorted(path.name for path in (tmp_path / "staged").iterdir())
    names = [profiles.file_name(shard, SHARDS) for shard in range(SHARDS)]
    assert found == [*names, profiles.REJECTED_FILE]


def test_every_record_is_counted_once_and_rejected_ones_are_written(config, tmp_path):
    lines = [json.dumps(record) for record in _records(random.Random(2), 200)]
    lines[5] = "not json"
    lines[150] = json.dumps({"id": ""})
    lines[151] = json.dumps({"id": "u1", "height": "tall"})
    staged, _ = _stage(config, tmp_path, lines)
    counts = staged.counts()
    assert counts["rejected"] == 3
    assert counts["read"] == 200 == sum(counts.values()) - counts["read"]
    text = (tmp_path / "staged" / profiles.REJECTED_FILE).read_text()
    rejected = [json.loads(line) for line in text.splitlines()]
    assert [(one["file"], one["line"]) for one in rejected] == [
        ("a.jsonl", 6),
        ("b.jsonl", 51),
        ("b.jsonl", 52),
    ]
    assert "finite number" in rejected[2]["reason"]


def test_too_many_rejected_profiles_are_refused(config, tmp_path):
    lines = [json.dumps(record) for record in _records(random.Random(2), 20)]
    lines[:3] = ["{}"] * 3
    with pytest.raises(InputError, match="3 of 20 user profiles of 2024-01-05 were rejected"):
        _stage(config, tmp_path, lines)


def test_the_same_records_make_the_same_bytes(config, tmp_path, monkeypatch):
    lines = [json.dumps(record) for record in _records(random.Random(3), 500)]
    contents = []
    for name, rows in (("once", 16_384), ("again", 7)):
        monkeypatch.setattr(profiles, "_ROWS_AT_ONCE", rows)
        (tmp_path / name).mkdir()
        _stage(config, tmp_path / name, lines)
        folder = tmp_path / name / "staged"
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]


def test_a_users_profile_is_found_and_without_one_the_id_is_known(config, tmp_path):
    records = _records(random.Random(5), 30)
    workdir = storage.Workdir(str(tmp_path / "work"))
    _stage(config, tmp_path, [json.dumps(record) for record in records])
    partition = workdir.partition(profiles.KIND, DAY)
    with partition.write({"shards": [0] * SHARDS}) as folder:
        for path in (tmp_path / "staged").iterdir():
            path.rename(f"{folder}/{path.name}")
    expected = _expected(records)
    users = [f"u{n}" for n in range(31)]
    assert profiles.find_profiles(partition, users, config) == [*map(expected.get, users)]
    assert profiles.find_profiles(partition, users[3:4], config) == [expected["u3"]]
    assert profiles.values_without("new", config) == {"user_id": "new"}
