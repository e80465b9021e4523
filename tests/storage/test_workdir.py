"""A work directory, on a disk or an object store: and its days."""

import datetime
import os

import pytest

from twotower_tf import storage
from twotower_tf.errors import InputError
from twotower_tf.storage import Workdir, parse_day, write_json

DAY = datetime.date(2024, 2, 28)


@pytest.fixture
def workdir(root):
    return Workdir(root)


def _publish(workdir, day):
    with workdir.partition("examples", day).write({}) as folder:
        storage.write_text(f"{folder}/part", "new")


def test_folders_of_impossible_dates_are_no_days(workdir):
    _publish(workdir, DAY)
    storage.write_text(workdir.path("examples", "dt=2024-13-45", "manifest.json"), "{}")
    assert workdir.days("examples") == [DAY]


def test_the_days_published_are_listed_oldest_first_and_nothing_else_is(workdir):
    days = [DAY + datetime.timedelta(days=n) for n in (2, 0, 1)]
    for day in days:
        _publish(workdir, day)
    storage.write_text(workdir.path("examples", "dt=2024-03-05", "part"), "no manifest")
    storage.write_text(workdir.path("examples", "notes", "manifest.json"), "no day")
    assert workdir.days("examples") == sorted(days)
    assert workdir.days("histories") == []


def test_the_latest_partition_is_the_newest_that_is_not_after_the_day(workdir):
    for day in ("2024-02-26", "2024-02-28"):
        _publish(workdir, parse_day(day))
    assert workdir.latest("examples", DAY).day == DAY
    assert workdir.latest("examples", parse_day("2024-02-27")).day == parse_day("2024-02-26")
    assert workdir.latest("examples", parse_day("2030-01-01")).day == DAY
    assert workdir.latest("examples", parse_day("2024-02-25")) is None


def test_opening_a_work_directory_that_is_not_there_makes_none(root):
    with pytest.raises(InputError, match=f"--workdir={root}: there is no such folder"):
        Workdir.existing(root)
    assert not os.path.exists(root)
    assert not storage.is_folder(root)


def test_a_work_directory_that_is_there_is_opened_whether_or_not_its_name_ends_in_a_slash(root):
    write_json(Workdir(root).configuration, {})
    assert Workdir.existing(f"{root}/").root == Workdir.existing(root).root == root


def test_a_work_directory_that_cannot_be_made_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=f"^--workdir={root} can't be made: .*; give a folder"):
            Workdir(str(root))
