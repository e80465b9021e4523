"""The releases job on a site with real releases, and the model card in each of them."""

import json
import pathlib
import re
import shutil

import pytest

from pipelines import releases as releases_job


@pytest.fixture
def two_releases(finished, days):
    """A copy of the finished site with one more day."""
    assert finished.run("run_daily", f"--date={days[3]}").status == 0
    return finished


def _rows(run) -> dict[str, str]:
    return {line.split()[0]: line for line in run.out.splitlines()[1:]}


def test_the_list_shows_each_release_and_which_one_is_current(finished):
    folder = finished.workdir / "releases" / "site"
    shutil.copytree(folder / "2024030300", folder / "2024030400")
    rows = _rows(finished.run("releases"))
    assert list(rows) == ["2024030300", "2024030400"]
    assert "current" not in rows["2024030300"]
    assert rows["2024030400"].endswith("  build  current")
    metrics = finished.metrics("build_index", "2024-03-03")
    assert rows["2024030300"].split()[1:5:3] == ["2024-03-03", str(metrics["items"])]


@pytest.mark.long
def test_rolling_back_makes_the_older_release_answer_and_promoting_the_newer_one(two_releases):
    newer = two_releases.run("recommend", "--user_id=u1", "--k=8").out
    rolled = two_releases.run("releases", "--action=rollback")
    assert rolled.out == "current: 2024030401, a copy of 2024030300\n"
    older = two_releases.run("recommend", "--user_id=u1", "--k=8").out
    assert older != newer
    promoted = two_releases.run("releases", "--action=promote", "--version=2024030400")
    assert promoted.out == "current: 2024030402, a copy of 2024030400\n"
    assert two_releases.run("recommend", "--user_id=u1", "--k=8").out == newer
    assert two_releases.run("releases", "--action=prune", "--keep=1").out == (
        "removed: 2024030300, 2024030400, 2024030401, embeddings/dt=2024-03-03\n"
    )
    assert two_releases.run("recommend", "--user_id=u1", "--k=8").out == newer


@pytest.mark.long
def test_the_next_day_is_released_after_a_rollback(two_releases, days):
    two_releases.run("releases", "--action=rollback")
    assert two_releases.run("run_daily", f"--date={days[4]}").status == 0
    assert list(_rows(two_releases.run("releases")))[-1] == "2024030500"


def test_a_release_is_shown_with_all_that_is_known_of_it(finished_site, days):
    run = finished_site.run("releases", "--action=show", "--version=2024030300")
    shown = json.loads(run.out)
    assert shown["days_trained"] == [str(day) for day in days[:3]]
    assert shown["configuration"]["name"] == "site"
    assert shown["configuration"]["examples"]["history_length"] == 5
    assert {gate["name"] for gate in shown["gates"]} >= {"examples", "loss", "index_recall"}
    files = [path for path in pathlib.Path(shown["path"]).rglob("*") if path.is_file()]
    assert shown["bytes"] == sum(path.stat().st_size for path in files)


def test_a_release_that_answers_otherwise_than_when_it_was_made_fails_its_check(finished):
    passed = finished.run("releases", "--action=check")
    assert (passed.status, passed.out) == (
        0,
        "release 2024030300 answers its self-test as when it was made\n",
    )
    extra = finished.workdir / "releases" / "site" / "2024030300" / "assets.extra"
    text = (extra / "self_test.json").read_text()
    (extra / "self_test.json").write_text(re.sub(r'"i\d+"', '"i3"', text))
    failed = finished.run("releases", "--action=check", "--version=2024030300")
    assert failed.status == 1
    assert failed.error.startswith("error: release 2024030300 fails its self-test: ")


def test_the_model_card_says_what_was_measured(finished_site, days):
    folder = finished_site.workdir / "releases" / "site" / "2024030300"
    card = (folder / "assets.extra" / "model_card.md").read_text(encoding="utf-8")
    evaluated = finished_site.metrics("evaluate", days[2])
    recall = evaluated["after"]["methods"]["model"]["recall"]["10"]
    assert f"recall@10 of the day's held-out examples: {recall:.4f}" in card
    assert "Trained on 3 days, 2024-03-01 to 2024-03-03, oldest first, each once.\n" in card
    for feature in ("history", "country", "length"):
        assert f" {feature} |" in card
    for gate in finished_site.metrics("run_daily", days[2])["gates"]:
        assert f"- {gate['message']}\n" in card


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--action=promote"], "--action=promote needs --version=YYYYMMDDnn"),
        (["--action=rollback", "--version=2024030300"], "--action=rollback takes no --version"),
        (["--action=show", "--version=1"], "there is no release 1 of 'site'; there are 2024030300"),
        (["--action=rollback"], "there is no release of 'site' before 2024030300 to roll back to"),
        (["--action=prune", "--keep=0"], "--keep must be at least 1"),
        (["--action=burn"], "list"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(finished_site, flags, expected):
    before = finished_site.files("releases")
    run = finished_site.run("releases", *flags)
    assert run.status == 2
    assert expected in run.error
    assert finished_site.files("releases") == before


def test_every_action_is_done_by_something():
    flags = releases_job.main._define()
    assert set(flags["action"].parser.enum_values) == set(releases_job._ACTIONS)
