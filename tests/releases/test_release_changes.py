"""Promoting, rolling back and pruning: what is current, what stays, what a reader sees."""

import contextlib
import datetime
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from twotower_tf.errors import InputError
from twotower_tf.releases import release_changes, releases
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf

FIRST_DAY = datetime.date(2026, 11, 1)


class _Answer(tf.Module):
    """A model that answers with its own name, from a constant and from a variable."""

    def __init__(self, name: str):
        super().__init__()
        self._stored = tf.Variable(name)
        self._name = name

    @tf.function(input_signature=[])
    def ask(self):
        return {"constant": tf.constant(self._name), "variable": tf.identity(self._stored)}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The folders of SavedModels, by the name each answers with."""
    root = tmp_path_factory.mktemp("models")
    for name in ("a", "b", "c", "d"):
        module = _Answer(name)
        tf.saved_model.save(module, str(root / name), signatures={"serving_default": module.ask})
        (root / name / "assets.extra").mkdir()
        (root / name / "assets.extra" / "serving.json").write_text('{"index_kind": "none"}')
    return root


@pytest.fixture
def workdir(tmp_path):
    return Workdir(str(tmp_path))


def _publish(workdir, models, name: str, day: int = 0):
    return releases.publish(
        workdir,
        "shop",
        FIRST_DAY + datetime.timedelta(days=day),
        lambda folder: shutil.copytree(models / name, folder, dirs_exist_ok=True),
        {"answer": name},
    )


def _ask(release) -> tuple[str, str, str]:
    answer = release.load_saved_model().signatures["serving_default"]()
    texts = (answer[part].numpy().decode() for part in ("constant", "variable"))
    return release.metadata["answer"], *texts


def _current(workdir) -> str:
    release = releases.require_current(workdir, "shop")
    (answer,) = set(_ask(release))
    return answer


def _versions(workdir) -> list[str]:
    return [release.version for release in releases.list_releases(workdir, "shop")]


def test_promoting_publishes_an_older_release_again_and_leaves_the_others(workdir, models):
    first, second = (_publish(workdir, models, name, day) for day, name in enumerate("ab"))
    before = {
        path: pathlib.Path(path, "release.json").read_text() for path in (first.path, second.path)
    }
    promoted = release_changes.promote(workdir, "shop", first.version)
    assert promoted.version == "2026110201"
    assert _versions(workdir) == [first.version, second.version, "2026110201"]
    assert _current(workdir) == "a"
    assert promoted.metadata["republished_from"] == first.version
    assert promoted.day == first.day
    for path, text in before.items():
        assert pathlib.Path(path, "release.json").read_text() == text
    # The copy says its own version.
    assert json.loads(pathlib.Path(promoted.path, "release.json").read_text())["version"] == (
        promoted.version
    )


def test_promoting_what_is_current_changes_nothing(workdir, models):
    _publish(workdir, models, "a")
    second = _publish(workdir, models, "b")
    assert release_changes.promote(workdir, "shop", second.version) == second
    promoted = release_changes.promote(workdir, "shop", "2026110100")
    assert release_changes.promote(workdir, "shop", "2026110100") == promoted
    assert len(_versions(workdir)) == 3


def test_rolling_back_twice_goes_back_two_releases(workdir, models):
    for day, name in enumerate("abc"):
        _publish(workdir, models, name, day)
    release_changes.roll_back(workdir, "shop")
    assert _current(workdir) == "b"
    release_changes.roll_back(workdir, "shop")
    assert _current(workdir) == "a"
    with pytest.raises(InputError, match="no release of 'shop' before 2026110100 to roll back to"):
        release_changes.roll_back(workdir, "shop")
    # A copy stands in for an original that was pruned.
    release_changes.promote(workdir, "shop", "2026110200")
    release_changes.promote(workdir, "shop", "2026110300")
    release_changes.prune(workdir, "shop", 2)
    release_changes.roll_back(workdir, "shop")
    assert _current(workdir) == "b"
    # The next day's release is current again.
    assert _publish(workdir, models, "d", 3).version == "2026110400"
    assert _current(workdir) == "d"


def test_after_a_full_day_a_rolled_back_release_still_outranks_all(workdir, models):
    _publish(workdir, models, "a")
    os.makedirs(workdir.path("releases", "shop", "2026110199"))
    assert release_changes.promote(workdir, "shop", "2026110100").version == "2026110100"
    _publish(workdir, models, "b", 1)
    assert release_changes.roll_back(workdir, "shop").version == "2026110201"


def test_pruning_keeps_the_newest_and_the_current_answers_without_its_origin(workdir, models):
    for day, name in enumerate("abc"):
        _publish(workdir, models, name, day)
    release_changes.promote(workdir, "shop", "2026110100")
    assert release_changes.prune(workdir, "shop", 1) == ["2026110100", "2026110200", "2026110300"]
    assert _versions(workdir) == ["2026110301"]
    assert _current(workdir) == "a"
    assert release_changes.prune(workdir, "shop", 1) == []
    assert os.listdir(workdir.path("releases", "shop")) == ["2026110301"]


def _embed(workdir, day: int) -> None:
    partition = workdir.partition("embeddings", FIRST_DAY + datetime.timedelta(days=day))
    with partition.write({}) as folder:
        pathlib.Path(folder, "embeddings-00000-of-00001.parquet").touch()


def test_pruning_embeddings_keeps_those_of_releases_and_of_what_is_yet_to_be_released(
    workdir, models
):
    # The gates held days 1 and 3 back.
    for day in range(6):
        _embed(workdir, day)
    for day in (0, 2, 4):
        _publish(workdir, models, "a", day)
    first, second, third, fourth, fifth, sixth = workdir.days("embeddings")
    assert release_changes.prune_embeddings(workdir, "shop") == [second, fourth]
    # A copy, too, is of the day of its model.
    release_changes.promote(workdir, "shop", "2026110100")
    release_changes.prune(workdir, "shop", 2)
    assert release_changes.prune_embeddings(workdir, "shop") == [third]
    assert workdir.days("embeddings") == [first, fifth, sixth]
    assert sorted(os.listdir(workdir.path("embeddings"))) == [
        f"dt={day}" for day in (first, fifth, sixth)
    ]
    # The newest release is of the first day now: what came after may be of a build under way.
    release_changes.prune(workdir, "shop", 1)
    assert release_changes.prune_embeddings(workdir, "shop") == []


def test_mistakes_name_what_there_is(workdir, models):
    with pytest.raises(InputError, match="there is no release of 'shop'"):
        release_changes.promote(workdir, "shop", "2026110100")
    with pytest.raises(InputError, match="there is no release of 'shop'"):
        release_changes.prune_embeddings(workdir, "shop")
    _publish(workdir, models, "a")
    with pytest.raises(InputError, match="no release 7 of 'shop'; there are 2026110100"):
        release_changes.promote(workdir, "shop", "7")
    with pytest.raises(InputError, match="--keep must be at least 1"):
        release_changes.prune(workdir, "shop", 0)


def test_a_reader_never_fails_while_releases_are_published_promoted_rolled_back_and_pruned(
    workdir, models
):
    _publish(workdir, models, "a")
    _publish(workdir, models, "b")
    over, failures, answers = threading.Event(), [], []

    def read() -> None:
        while not over.is_set():
            try:
                answers.append(releases.read_current(workdir, "shop", _ask))
            except Exception as error:
                failures.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    rng = random.Random(3)
    for number in range(20):
        seen = len(answers)
        _publish(workdir, models, rng.choice("abcd"), number // 4)
        # The pruning may have left nothing to go back to.
        with contextlib.suppress(InputError):
            release_changes.roll_back(workdir, "shop")
        release_changes.promote(workdir, "shop", rng.choice(_versions(workdir)))
        release_changes.prune(workdir, "shop", rng.randrange(2, 4))
        deadline = time.monotonic() + 20
        while len(answers) == seen and not failures and time.monotonic() < deadline:
            time.sleep(0.005)
    over.set()
    reader.join()
    assert not failures
    assert len(answers) >= 20
    assert all(len(set(answer)) == 1 for answer in answers)


_PUBLISH = """
import datetime, shutil, sys
from twotower_tf.releases import releases
from twotower_tf.releases import release_changes
from twotower_tf.storage import Workdir

root, model = sys.argv[1:]
workdir = Workdir(root)
for number in range(1000):
    day = datetime.date(2026, 11, 2) + datetime.timedelta(days=number)
    save = lambda folder: shutil.copytree(model, folder, dirs_exist_ok=True)
    releases.publish(workdir, "shop", day, save, {"answer": "b"})
    release_changes.roll_back(workdir, "shop")
    release_changes.prune(workdir, "shop", 3)
    print(number, flush=True)
"""


@pytest.mark.long
def test_killed_at_25_random_moments_publishing_leaves_a_current_release_that_answers(
    workdir, models
):
    _publish(workdir, models, "b")
    _publish(workdir, models, "b")
    rng = random.Random(5)
    for _ in range(25):
        shutil.rmtree(workdir.path("releases"))
        _publish(workdir, models, "b")
        _publish(workdir, models, "b")
        process = subprocess.Popen(
            [sys.executable, "-c", _PUBLISH, workdir.root, str(models / "b")],
            stdout=subprocess.PIPE,
        )
        process.stdout.readline()
        time.sleep(rng.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert _current(workdir) == "b"
        for release in releases.list_releases(workdir, "shop"):
            _assert_whole(release.path, models / "b")
    # What the last one left behind does not stand in the way of the next.
    newest = datetime.date.fromisoformat(releases.current(workdir, "shop").metadata["day"])
    _publish(workdir, models, "c", (newest - FIRST_DAY).days + 2)
    assert _current(workdir) == "c"


def _assert_whole(path: str, model: pathlib.Path) -> None:
    for file in model.rglob("*"):
        if file.is_file():
            copy = pathlib.Path(path, file.relative_to(model))
            assert copy.read_bytes() == file.read_bytes()


_DIE = """
import datetime, os, shutil, signal, sys
from twotower_tf.releases import releases
from twotower_tf.releases import release_changes
from twotower_tf.storage import Workdir

root, model, before_removing = sys.argv[1:]

def die(event, arguments):
    if event == "os.remove" and str(arguments[0]).endswith(before_removing):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
save = lambda folder: shutil.copytree(model, folder, dirs_exist_ok=True)
workdir = Workdir(root)
releases.publish(workdir, "shop", datetime.date(2026, 11, 2), save, {"answer": "b"})
release_changes.prune(workdir, "shop", 1)
"""


@pytest.mark.parametrize("before_removing", ["2026110200.lock", "saved_model.pb"])
def test_what_killed_publishing_or_pruning_left_is_gone_after_the_next_release(
    workdir, models, before_removing
):
    _publish(workdir, models, "a")
    folder = pathlib.Path(workdir.path("releases", "shop"))
    command = [sys.executable, "-c", _DIE, workdir.root, str(models / "b"), before_removing]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert _current(workdir) == "b"
    assert any(path.name.endswith(before_removing) for path in folder.glob(".staging/**/*"))
    _publish(workdir, models, "c", 2)
    assert sorted(os.listdir(folder)) == _versions(workdir)
    assert _current(workdir) == "c"
