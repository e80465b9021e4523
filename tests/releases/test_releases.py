"""Releases as folders: versions, atomic publishing, what is current."""

import datetime
import json
import os
import pathlib

import pytest

from twotower_tf.errors import InputError, JobError
from twotower_tf.releases import releases
from twotower_tf.storage import Workdir

DAY = datetime.date(2026, 11, 20)
NEXT = datetime.date(2026, 11, 21)


def _save(folder: str) -> None:
    pathlib.Path(folder, "saved_model.pb").write_text("model")


@pytest.fixture
def workdir(tmp_path):
    return Workdir(str(tmp_path))


def _publish(workdir, day=DAY, save=_save):
    return releases.publish(workdir, "shop", day, save, {"metrics": {"recall": 0.5}})


def test_versions_are_ten_digits_and_rise_by_number_as_tf_serving_orders_them(workdir):
    versions = [_publish(workdir, day).version for day in (DAY, DAY, NEXT, NEXT)]
    assert versions == ["2026112000", "2026112001", "2026112100", "2026112101"]
    assert releases.current(workdir, "shop").version == max(versions, key=int)
    assert [one.version for one in releases.list_releases(workdir, "shop")] == versions


def test_a_release_holds_the_model_and_what_is_known_about_it(workdir):
    published = _publish(workdir)
    assert published.path == workdir.path("releases", "shop", "2026112000")
    assert sorted(os.listdir(published.path)) == ["release.json", "saved_model.pb"]
    metadata = json.loads(pathlib.Path(published.path, "release.json").read_text())
    assert metadata == published.metadata
    assert metadata["day"] == "2026-11-20"
    assert metadata["version"] == "2026112000"
    assert metadata["metrics"] == {"recall": 0.5}
    found = releases.current(workdir, "shop")
    assert found == published
    assert found.day == DAY


def test_nothing_looks_like_a_version_until_it_is_whole(workdir):
    seen = []

    def save(folder):
        _save(folder)
        root = workdir.path("releases", "shop")
        seen.extend(name for name in os.listdir(root) if name.isdecimal())

    _publish(workdir, save=save)
    assert seen == []


def test_a_failing_save_publishes_nothing_and_its_version_is_free_again(workdir):
    def fail(folder):
        _save(folder)
        raise JobError("disk full")

    with pytest.raises(JobError, match="disk full"):
        _publish(workdir, save=fail)
    assert releases.current(workdir, "shop") is None
    assert os.listdir(workdir.path("releases", "shop")) == []
    assert _publish(workdir).version == "2026112000"


def test_a_day_before_the_current_release_is_refused(workdir):
    _publish(workdir, NEXT)
    with pytest.raises(
        JobError, match=r"release 2026112100 .* outranks every release of 2026-11-20"
    ):
        _publish(workdir, DAY)
    assert len(releases.list_releases(workdir, "shop")) == 1


def test_a_day_has_a_hundred_releases_and_then_it_is_said_what_to_do(workdir):
    os.makedirs(workdir.path("releases", "shop", "2026112098"))
    assert _publish(workdir).version == "2026112099"
    with pytest.raises(JobError, match=r"the 100 versions of 2026-11-20 .* every 15 minutes"):
        _publish(workdir)
    assert _publish(workdir, NEXT).version == "2026112100"


def test_folders_that_are_no_releases_are_passed_over(workdir):
    published = _publish(workdir)
    for name in ("notes", "2026112099x", "2026112050"):
        os.makedirs(workdir.path("releases", "shop", name))
    assert releases.current(workdir, "shop") == published
    # TensorFlow Serving would count the empty folder as a version: ours must outrank it.
    assert _publish(workdir).version == "2026112051"


def test_without_releases_there_is_no_current_one(workdir):
    assert releases.current(workdir, "shop") is None
    assert releases.list_releases(workdir, "shop") == []
    with pytest.raises(InputError, match=r"there is no release of 'shop'.*run_daily"):
        releases.require_current(workdir, "shop")
