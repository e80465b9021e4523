"""The job refresh_index on a finished site: uploads come, withdrawn items go, mistakes are told."""

import json
import re

import pytest


def _records(site) -> list[dict]:
    lines = (site.source / "items.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _refresh(site, *flags):
    return site.run("refresh_index", *flags)


def _recommended(site) -> set[str]:
    done = site.run("recommend", "--query={}", "--k=100")
    assert done.status == 0, done.err
    return {line.split()[1] for line in done.out.splitlines()}


def test_uploads_come_and_withdrawn_items_go(finished, tmp_path):
    before = _recommended(finished)
    records = _records(finished)
    upload = {"item_id": "upload", "name": "Just in", "published": 1_700_000_000, "tags": ["t1"]}
    later = {**upload, "item_id": "later", "published": 4_000_000_000}
    finished.write("items.jsonl", [*records[1:], {**upload, "length": 90}, {**later, "length": 90}])
    withdrawn = tmp_path / "withdrawn.txt"
    withdrawn.write_text("i3\n\nno such\n", encoding="utf-8-sig")
    versions = finished.releases()
    done = _refresh(finished, f"--source={finished.source}", f"--withdrawn={withdrawn}")
    assert done.status == 0, done.err
    *old, new = finished.releases()
    assert old == versions
    assert "withdrawn items: 1 of 2 ids are unknown, the first 'no such'" in done.err
    assert done.out == (f"release: releases/site/{new}\nitems:   2 added, 2 removed, 0 changed\n")
    # i24 was published after the days that were built, and before today.
    assert _recommended(finished) == before - {"i0", "i3"} | {"upload", "i24"}
    again = _refresh(finished, f"--source={finished.source}")
    assert (again.status, again.out[:13]) == (0, "nothing to do")
    assert finished.releases() == [*old, new]
    assert not (finished.workdir / ".staging").exists()


def test_without_a_source_the_newest_catalogue_of_the_work_directory_counts(finished, days):
    done = _refresh(finished, f"--date={days[2]}")
    assert done.status == 0, done.err
    assert done.out.startswith("nothing to do")


@pytest.mark.long
def test_a_withdrawn_item_comes_in_no_release_until_it_is_lifted(finished, days, tmp_path):
    assert finished.run("run_daily", f"--date={days[3]}").status == 0
    assert "i3" in _recommended(finished)
    withdrawn = tmp_path / "withdrawn.txt"
    withdrawn.write_text("i3\nnobody\n")
    done = _refresh(
        finished, f"--date={days[3]}", f"--withdrawn={withdrawn}", "--reason=rights expired"
    )
    assert (done.status, done.out.splitlines()[1]) == (0, "items:   0 added, 1 removed, 0 changed")
    assert "1 of 2 ids are unknown, the first 'nobody'" in done.err
    assert "i3" not in _recommended(finished)
    listed = finished.run("releases", "--action=withdrawals").out
    assert re.search(r"^2\d{3}-.*\+00:00  i3  rights expired$", listed, re.MULTILINE)
    assert listed.endswith("2 items withdrawn\n")
    # Rolled back twice, to a release that was made before, and built anew.
    for _ in range(2):
        assert finished.run("releases", "--action=rollback").status == 0
        assert "i3" not in _recommended(finished)
    assert finished.run("run_daily", f"--date={days[4]}").status == 0
    assert "i3" not in _recommended(finished)
    selected = finished.metrics("build_index", days[4])["selection"]
    assert {"rule": "withdrawn", "items": 1} in selected["left_out"]
    assert _refresh(finished, "--lift=i4").status == 2
    assert _refresh(finished, f"--date={days[4]}", "--lift=i3").status == 0
    assert "i3" in _recommended(finished)


@pytest.mark.long
def test_the_day_after_a_refresh_is_released_as_usual(finished, days):
    records = _records(finished)
    finished.write("items.jsonl", records[:-3])
    assert _refresh(finished, f"--source={finished.source}").status == 0
    refreshed = finished.releases()[-1]
    done = finished.run("run_daily", f"--date={days[3]}")
    assert done.status == 0, done.err
    newest = finished.releases()[-1]
    assert int(newest) > int(refreshed)
    written = json.loads((finished.workdir / "releases/site" / newest / "release.json").read_text())
    assert "refreshed_from" not in written


@pytest.mark.parametrize(
    ("flags", "records", "status", "message"),
    [
        (["--reason=rights"], None, 2, "--reason needs --withdrawn=FILE"),
        (["--lift=i3"], None, 2, "--lift: item 'i3' is not withdrawn"),
        (["--withdrawn=/none"], None, 2, "--withdrawn: /none can't be read (No such file"),
        (["--date=soon"], None, 2, "--date must be a date as YYYY-MM-DD, got 'soon'"),
        (["--source=/none"], None, 2, "--source=/none: there is no such folder"),
        (["--date=1999-01-01"], None, 2, "there is no catalogue of 1999-01-01 or before"),
        ([], slice(5), 1, "too much changed for a refresh"),
    ],
)
def test_mistakes_are_one_line_and_publish_nothing(finished, flags, records, status, message):
    versions = finished.releases()
    if records is not None:
        finished.write("items.jsonl", _records(finished)[records])
        flags = [f"--source={finished.source}"]
    done = _refresh(finished, *flags)
    assert done.status == status
    assert message in done.error
    assert finished.releases() == versions


def test_a_refresh_needs_a_release(site):
    site.workdir.mkdir()
    done = _refresh(site, f"--source={site.source}")
    assert done.status == 2
    assert "there is no release of 'site'" in done.error
