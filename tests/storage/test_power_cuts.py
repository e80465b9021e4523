"""What a manifest promises is on the disk before the manifest has its name."""

import datetime
import pathlib

import pytest

from tests.power_cuts import Disk
from twotower_tf import storage
from twotower_tf.releases.releases import publish
from twotower_tf.storage import Partition, Workdir
from twotower_tf.storage.whole_files import whole_file

DAY = datetime.date(2024, 2, 28)


@pytest.fixture
def disk(monkeypatch) -> Disk:
    return Disk(monkeypatch)


def _fill(folder: str, text: str = "content") -> None:
    with whole_file(f"{folder}/whole") as path:
        pathlib.Path(path).write_text(text)
    pathlib.Path(folder, "deep", "er").mkdir(parents=True)
    pathlib.Path(folder, "deep", "er", "part").write_text(text)
    storage.copy(f"{folder}/whole", f"{folder}/copied/part")
    storage.write_text(f"{folder}/text", text)


def test_a_partition_and_the_one_in_its_place_are_flushed_before_they_have_their_name(
    disk, tmp_path
):
    for text in ("first", "second"):
        with Partition(str(tmp_path), "examples", DAY).write({"text": text}) as folder:
            _fill(folder, text)
    assert len(disk.named) == 2
    assert disk.lost == []


def test_after_it_the_names_that_lead_to_a_partition_are_flushed(disk, tmp_path):
    partition = Workdir(str(tmp_path / "a" / "work")).partition("examples", DAY)
    with partition.write({}) as folder:
        _fill(folder)
    assert not disk.open
    parents = [tmp_path, tmp_path / "a", tmp_path / "a" / "work"]
    assert not any(map(disk.may_lose, parents))


def test_a_release_is_flushed_before_it_has_its_name(disk, tmp_path):
    workdir = Workdir(str(tmp_path))
    publish(workdir, "shop", DAY, _fill, {})
    assert len(disk.named) == 1
    assert disk.lost == []


def test_a_single_file_is_flushed_before_it_has_its_name(disk, tmp_path):
    path = str(tmp_path / "metrics" / "build.json")
    for number in (1, 2):
        storage.write_json(path, {"events": number})
    assert disk.lost == []
    assert not disk.may_lose(path)
