"""Refreshing a release against NumPy: what comes, what goes, and what stays the same file."""

import functools
import json
import os
import shutil
from typing import NamedTuple

import numpy as np
import pytest

from tests.shop import items_of_shop
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.indexing.candidates.withdrawals import lift, read_withdrawals, withdraw
from twotower_tf.releases import release_changes, releases
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf

from twotower_tf.releases.refresh import Refreshed, adopt_withdrawals, refresh_release
from twotower_tf.serving.self_test import self_test

QUERY = {"seed": ["item-4"], "history": [["item-1", "ключ-7"]], "hour": [0.3]}


EVERY_KIND = pytest.mark.parametrize("kind", ["brute_force", "portable", "scann"])


@pytest.fixture
def kind():
    """The kind of index where it makes no difference."""
    return "brute_force"


def _with_release(kind: str, shop, root) -> Workdir:
    made = Workdir(str(root))
    release = shop.release(kind)
    shutil.copytree(release.path, made.path("releases", kind, release.version))
    return made


@pytest.fixture
def workdir(kind, shop, tmp_path):
    """A work directory with a copy of the shop's release."""
    return _with_release(kind, shop, tmp_path)


class Later(NamedTuple):
    """A work directory whose release was refreshed by a later catalogue; to be read only."""

    workdir: Workdir
    items: Catalogue
    old: releases.Release
    done: Refreshed


@pytest.fixture(scope="module")
def later(shop, tmp_path_factory):
    """The function that gives what came of the refresh of a kind of index, done once."""

    @functools.cache
    def refreshed(kind: str) -> Later:
        workdir = _with_release(kind, shop, tmp_path_factory.mktemp(kind))
        items, old = shop.catalogue_of(_later()), releases.current(workdir, kind)
        done = refresh_release(shop.config_of(kind), workdir, items)
        return Later(workdir, items, old, done)

    return refreshed


def _copy(workdir: Workdir, folder) -> Workdir:
    return Workdir(str(shutil.copytree(workdir.root, folder / "work")))


def _later() -> list[dict]:
    """The catalogue later: 12 new items, 6 gone, 5 with another title."""
    records = items_of_shop()
    new = [{**record, "sku": f"new-{n}", "title": f"news {n}"} for n, record in enumerate(records)]
    kept = [record for n, record in enumerate(records) if n % 50 != 3]
    for record in kept[:5]:
        record["title"] = "another title"
    return kept + new[:12]


def _expected(shop, items, without=()) -> dict[str, float]:
    """The score of every item for QUERY, by the trainer's own towers."""
    query = {
        "seed": tf.constant(QUERY["seed"]),
        "history": tf.ragged.constant(QUERY["history"]),
        "searches": tf.ragged.constant([[]], dtype=tf.string),
        "searches_weights": tf.ragged.constant([[]], dtype=tf.float32),
        "device": tf.constant([""]),
        "hour": tf.constant(QUERY["hour"]),
        "mood": tf.zeros([1, 3]),
    }
    vector = shop.model.query_tower(query).numpy()[0].astype(np.float64)
    return {
        item_id: float(vector @ own)
        for item_id, own in shop.vectors(items).items()
        if item_id not in without
    }


def _ask(release, k: int, **more) -> dict[str, float]:
    loaded = release.load_saved_model()
    answer = loaded.serving_default(k=k, **QUERY, **more)
    ids = [item_id.decode() for item_id in answer["item_ids"].numpy()[0]]
    assert len(set(ids)) == len(ids)
    return dict(zip(ids, answer["scores"].numpy()[0].tolist(), strict=True))


def _same(got: dict, want: dict) -> None:
    assert got.keys() == want.keys()
    np.testing.assert_allclose([got[one] for one in want], list(want.values()), atol=1e-5)


@pytest.mark.long
@EVERY_KIND
def test_a_refresh_gives_what_a_new_build_would(kind, shop, later):
    workdir, items, old, done = later(kind)
    assert (done.added, done.removed, done.changed) == (12, 6, 5)
    new = releases.current(workdir, kind)
    assert new == done.release
    assert int(new.version) > int(old.version)
    want = _expected(shop, items)
    # All there are, and the best: both exact, even of ScaNN when it looks everywhere.
    _same(_ask(new, 1000), want)
    best = sorted(want, key=want.get, reverse=True)[:40]
    assert len(_ask(new, 40).keys() & set(best)) >= (40 if kind == "brute_force" else 36)
    # Excluded ids may be fresh ones too.
    excluded = [[*best[:5], "new-1", "new-2"]]
    _same(_ask(new, 1000, exclude_ids=excluded), _expected(shop, items, excluded[0]))


@EVERY_KIND
def test_k_items_come_also_when_all_of_the_best_were_removed(kind, shop, workdir):
    # Far more of what the index gives first is gone than of the whole: it must be asked again.
    whole = _expected(shop, shop.catalogue_of(items_of_shop()))
    order = sorted(whole, key=whole.get, reverse=True)
    records = [record for record in items_of_shop() if record["sku"] not in set(order[:50])]
    new = refresh_release(shop.config_of(kind), workdir, shop.catalogue_of(records)).release
    got = _ask(new, 10)
    assert len(got) == 10
    assert not set(got) & set(order[:50])
    assert len(set(got) & set(order[50:60])) >= (10 if kind == "brute_force" else 9)


@pytest.mark.long
def test_a_refresh_of_a_refresh_is_one_of_the_build(kind, shop, workdir):
    config = shop.config_of(kind)
    refresh_release(config, workdir, shop.catalogue_of(_later()))
    back = refresh_release(config, workdir, shop.catalogue_of(items_of_shop()))
    assert (back.added, back.removed, back.changed) == (6, 12, 5)
    _same(_ask(back.release, 1000), _expected(shop, shop.catalogue_of(items_of_shop())))


def test_nothing_is_published_when_nothing_changed(kind, shop, later):
    workdir, items, _, first = later(kind)
    again = refresh_release(shop.config_of(kind), workdir, items)
    assert again.release is None
    assert releases.current(workdir, kind) == first.release


@pytest.mark.parametrize(
    "kind", ["brute_force", "scann", pytest.param("portable", marks=pytest.mark.long)]
)
def test_a_release_made_current_again_lacks_what_was_withdrawn_since(kind, shop, later, tmp_path):
    workdir = _copy(later(kind).workdir, tmp_path)
    refreshed = releases.current(workdir, kind)
    # Indexed, fresh, and nobody's.
    gone = ["item-8", "new-3", "nobody's"]
    withdraw(workdir, gone, "rights")
    promoted = release_changes.promote(workdir, kind, "2026112000")
    _same(_ask(promoted, 1000), _expected(shop, shop.catalogue_of(items_of_shop()), gone))
    assert promoted.metadata["republished_from"] == "2026112000"
    again = release_changes.promote(workdir, kind, refreshed.version)
    _same(_ask(again, 1000), _expected(shop, shop.catalogue_of(_later()), gone))
    assert again.read_serving()["items"] == len(_later()) - 2
    assert self_test(again.path) == self_test(promoted.path) == []
    # The releases of before are as they were.
    assert "item-8" in _ask(refreshed, 1000)


def test_ids_that_an_older_release_withdrew_by_itself_are_adopted(kind, shop, workdir):
    path = os.path.join(releases.current(workdir, kind).path, "assets.extra", "withdrawn.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write("item-8\n")
    adopt_withdrawals(workdir, kind)
    (held,) = read_withdrawals(workdir).values()
    assert (held.item_id, held.reason) == ("item-8", "withdrawn in release 2026112000")
    lift(workdir, ["item-8"])
    items = shop.catalogue_of(_later())
    refresh_release(shop.config_of(kind), workdir, items)
    adopt_withdrawals(workdir, kind)
    assert not read_withdrawals(workdir)


@EVERY_KIND
def test_a_refreshed_release_says_where_it_is_from_and_passes_its_self_test(kind, later):
    _, items, old, done = later(kind)
    new = done.release
    assert new.metadata["refreshed_from"] == old.version
    assert new.metadata["refresh"] == {
        "added": 12,
        "removed": 6,
        "changed": 5,
        "fresh": 17,
    }
    assert new.day == old.day
    assert new.read_serving()["items"] == len(items)
    assert self_test(new.path) == []


def test_what_did_not_change_is_not_written_again(kind, later):
    _, _, old, done = later(kind)
    new = done.release
    names = sorted(os.listdir(os.path.join(new.path, "variables")))
    assert names == sorted(os.listdir(os.path.join(old.path, "variables")))
    *shared, own, _ = names
    for path in ("saved_model.pb", *(f"variables/{name}" for name in shared)):
        assert os.path.samefile(*(os.path.join(one.path, path) for one in (old, new)))
    for path in ("release.json", "assets.extra/self_test.json", f"variables/{own}"):
        assert not os.path.samefile(*(os.path.join(one.path, path) for one in (old, new)))
    assert not [name for name in os.listdir(new.path) if name.startswith(".")]


def test_too_many_changes_need_a_build(kind, shop, workdir):
    config = shop.config_of(kind)
    half = shop.catalogue_of(items_of_shop()[:150])
    with pytest.raises(JobError, match=r"too much changed.* 150 would go, 0 would come.*run build"):
        refresh_release(config, workdir, half)
    double = shop.catalogue_of(items_of_shop(600))
    with pytest.raises(JobError, match=r"0 would go, 300 would come.*allows 60 of each"):
        refresh_release(config, workdir, double)
    assert len(releases.list_releases(workdir, kind)) == 1


def test_a_release_of_other_features_is_refused(kind, shop, workdir):
    path = os.path.join(releases.current(workdir, kind).path, "assets.extra", "serving.json")
    with open(path) as file:
        serving = json.load(file)
    serving["candidate_features"].pop()
    with open(path, "w") as file:
        json.dump(serving, file)
    with pytest.raises(InputError, match="built with other candidate features"):
        refresh_release(shop.config_of(kind), workdir, shop.catalogue_of(items_of_shop()))


def test_a_release_published_meanwhile_is_not_superseded(kind, shop, workdir):
    items = shop.catalogue_of(_later())
    config = shop.config_of(kind)
    old = releases.current(workdir, kind)

    class Meanwhile(type(items)):
        """A catalogue that is embedded while another job publishes."""

        def take(self, rows):
            target = workdir.path("releases", kind, "2026112005")
            if not os.path.exists(target):
                shutil.copytree(old.path, target)
            return super().take(rows)

    watched = Meanwhile(items.item_ids, items.features)
    with pytest.raises(JobError, match="published while 2026112000 was being refreshed"):
        refresh_release(config, workdir, watched)
    assert releases.current(workdir, kind).version == "2026112005"


def test_a_self_test_notices_another_answer(kind, shop, workdir):
    release = releases.current(workdir, kind)
    assert self_test(release.path) == []
    path = os.path.join(release.path, "assets.extra", "self_test.json")
    with open(path) as file:
        written = json.load(file)
    assert len(written["cases"]) == 8
    ids = written["cases"][1]["item_ids"]
    ids[0] = "item-299"
    with open(path, "w") as file:
        json.dump(written, file)
    (problem,) = self_test(release.path)
    assert problem == f"self-test 2 of {release.path}: item 'item-299' is missing"
    written["cases"][1]["scores"][3] += 0.01
    with open(path, "w") as file:
        json.dump(written, file)
    assert "has the score" in self_test(release.path)[0]
