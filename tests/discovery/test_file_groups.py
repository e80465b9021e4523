"""Which files belong together, and the pattern that names them."""

import datetime

import pytest

from twotower_tf.config.source import Files
from twotower_tf.datasets.files import find_files
from twotower_tf.discovery.file_groups import find_groups
from twotower_tf.errors import InputError

_TABLES = {
    "events": "user,item,time\nu1,i1,2024-03-01\nu2,i2,2024-03-01\n",
    "items": "item,title\ni1,One\ni2,Two\n",
}


def _groups(tmp_path, files):
    for name, table in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_TABLES[table])
    groups, _ = find_groups(str(tmp_path))
    for group in groups:
        for pattern in (group.dated, group.undated):
            found = find_files(str(tmp_path), Files(path=pattern), "events", None)
            assert [one.path for one in found] == [one.path for one in group.files]
    return {group.dated: group for group in groups}


@pytest.mark.parametrize(
    ("day", "pattern"),
    [
        ("log/dt={:%Y-%m-%d}/part-0.csv", "log/dt={date}/part-*.csv"),
        ("log/{:%Y%m%d}.csv", "log/{date:%Y%m%d}.csv"),
        ("log/{:%Y/%m/%d}/a.csv", "log/{date:%Y/%m/%d}/a.csv"),
        ("log/year={:%Y/month=%m/day=%d}/a.csv", "log/year={date:%Y/month=%m/day=%d}/a.csv"),
        ("log/{:%Y-%m-%d}/hour=03/a.csv", "log/{date}/hour=03/a.csv"),
        ("log/dt={0:%Y-%m-%d}/log_{0:%Y-%m-%d}.csv", "log/dt={date}/log_{date}.csv"),
    ],
)
def test_days_in_paths_become_a_date_in_its_form(tmp_path, day, pattern):
    days = [datetime.date(2024, 2, 28) + datetime.timedelta(days=n) for n in range(3)]
    groups = _groups(tmp_path, {day.format(one): "events" for one in days})
    assert list(groups) == [pattern]
    assert groups[pattern].days == days
    assert "{" not in groups[pattern].undated


def test_shards_hours_and_parts_become_wildcards(tmp_path):
    shards = {
        f"log/dt=2024-03-0{d}/h{h}/part-{p}.csv": "events"
        for d, h, p in [(1, 0, 0), (1, 1, 0), (2, 0, 0), (2, 0, 7)]
    }
    parts = {f"meta/items_part{n}.csv": "items" for n in (1, 2)}
    assert set(_groups(tmp_path, shards | parts)) == {
        "log/dt={date}/h*/part-*.csv",
        "meta/items_part*.csv",
    }


def test_files_of_the_same_columns_are_one_table_unless_the_pattern_names_others(tmp_path):
    assert list(_groups(tmp_path, {"train.csv": "events", "test.csv": "events"})) == ["t*.csv"]
    assert set(_groups(tmp_path, {"tracks.csv": "items"})) == {
        "train.csv",
        "test.csv",
        "tracks.csv",
    }


def test_numbered_files_of_different_columns_are_different_tables(tmp_path):
    assert set(_groups(tmp_path, {"1.csv": "events", "2.csv": "items"})) == {"1.csv", "2.csv"}


def test_a_day_that_the_calendar_lacks_is_a_counter(tmp_path):
    groups = _groups(tmp_path, {"a-20241399.csv": "events", "a-20241400.csv": "events"})
    assert [group.days for group in groups.values()] == [[]]


def test_a_folder_that_is_missing_or_empty_is_an_error(tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        find_groups(str(tmp_path / "none"))
    with pytest.raises(InputError, match="there is no file in it"):
        find_groups(str(tmp_path))
