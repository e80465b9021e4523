"""The closed loop as a job: two small arms through all of it, and flags that are wrong."""

import json

import pytest
import yaml

from twotower_tf.config_loader import load_config

SIZES = {
    "users": 300,
    "videos": 900,
    "uploads_per_day": 20,
    "events_per_day": 4000,
    "pages_per_day": 300,
    "days": 3,
}


def small(tmp_path, name, **changed):
    """Writes the demo's configuration with a small model; returns the file."""
    with open("configs/demo.yaml", encoding="utf-8") as file:
        values = yaml.safe_load(file)
    values["query"]["layers"] = values["candidate"]["layers"] = [16]
    values["training"] = {"batch_size": 64, "tensorboard": False}
    values["ranking"] = {"likes": ["channel_id"], "layers": [32]}
    values["ranking"]["training"] = {"tensorboard": False}
    values["gates"] = {"min_recall_ratio": 0.0, "min_coverage": 0.0}
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**values, **changed}), encoding="utf-8")
    load_config(str(path))
    return path


@pytest.fixture(scope="module")
def call(job):
    """Runs the job on some arms and a folder."""

    def run(arms, out, *flags, **sizes):
        given = [f"--{name}={value}" for name, value in {**SIZES, **sizes}.items()]
        own = [f"--arms={','.join(map(str, arms))}", f"--out={out}"]
        return job("simulate_ab", *own, *given, *flags)

    return run


@pytest.fixture(scope="module")
def same_twice(tmp_path_factory, call):
    """Two folders in which the same configuration met itself, with the same seed."""
    root = tmp_path_factory.mktemp("same")
    path = small(root, "same")
    folders = [root / "first", root / "second"]
    runs = [call([path, path], folder) for folder in folders]
    assert [run.status for run in runs] == [0, 0], runs[0].err
    return folders, runs


@pytest.mark.long
def test_the_same_seed_gives_the_same_logs_and_figures(same_twice):
    folders, _ = same_twice
    logs = [
        {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.glob("*/logs/**/*.jsonl"))
        }
        for folder in folders
    ]
    assert len(logs[0]) == 2 * (1 + 2 * 3)
    assert logs[0] == logs[1]
    first, second = (json.loads((folder / "closed_loop.json").read_text()) for folder in folders)
    assert first == second


@pytest.mark.long
def test_an_arm_beside_itself_shows_no_difference(same_twice):
    folders, runs = same_twice
    found = json.loads((folders[0] / "closed_loop.json").read_text())
    assert list(found["arms"]) == ["same", "same-2"]
    assert sum(arm["users"] for arm in found["arms"].values()) == 300
    # Of six intervals of 95 % one lies beside 0 by chance in every fifth split of the users; one
    # twice as wide in one of ten thousand.
    for key, one in found["differences"]["same-2"].items():
        reach = one["high"] - one["low"]
        assert abs(one["low"] + one["high"]) / 2 < reach, key
    assert "no difference (" in runs[0].out
    assert runs[0].out.splitlines()[-1] == f"report: {folders[0]}/closed_loop.html"
    assert "<svg" in (folders[0] / "closed_loop.html").read_text()


@pytest.mark.long
def test_releases_fill_two_thirds_of_the_pages_from_the_second_day_on(same_twice):
    folders, _ = same_twice
    shares = []
    for day in ("2026-01-01", "2026-01-02"):
        path = (
            folders[0] / "same" / "logs" / "impressions" / f"dt={day}" / "impressions-00000.jsonl"
        )
        sources = [json.loads(line)["source"] for line in path.read_text().splitlines()]
        shares.append(sources.count("index") / len(sources))
    assert shares == [0.0, pytest.approx(8 / 12, abs=0.01)]


@pytest.mark.long
def test_a_call_for_what_is_done_says_the_same_and_other_sizes_are_refused(same_twice, call):
    folders, runs = same_twice
    path = folders[0].parent / "same.yaml"
    again = call([path, path], folders[0])
    assert (again.status, again.out) == (0, runs[0].out)
    assert "nothing to do" in again.err
    other = call([path, path], folders[0], days=4)
    assert other.status == 2
    assert "was begun with another --days; give a new --out" in other.error


@pytest.mark.long
def test_arms_that_show_other_items_differ(tmp_path, call):
    # The second one recommends the newest videos alone.
    arms = [small(tmp_path, "all"), small(tmp_path, "new", selection={"max_age_days": 3})]
    run = call(arms, tmp_path / "out", days=2, pages_per_day=900)
    assert run.status == 0, run.err
    found = json.loads((tmp_path / "out" / "closed_loop.json").read_text())
    assert not found["differences"]["new"]["fresh_share"]["is_none"]
    assert found["differences"]["new"]["fresh_share"]["low"] > 0.1


@pytest.mark.parametrize(
    ("arms", "sizes", "expected"),
    [
        (["configs/demo.yaml"], {}, "--arms: give at least two configurations"),
        (["configs/demo.yaml", "nowhere.yaml"], {}, "nowhere.yaml"),
        (["configs/demo.yaml"] * 2, {"days": 1}, "--days=1: give at least 2"),
        (["configs/demo.yaml"] * 2, {"pages_per_day": 0}, "--pages_per_day=0: give at least 1"),
        (["configs/demo.yaml"] * 2, {"users": 0}, "simulator setting users: 0 given"),
        ([], {}, "--arms is missing"),
    ],
)
def test_wrong_flags_end_with_status_2(call, tmp_path, arms, sizes, expected):
    run = call(arms, tmp_path / "out", **sizes)
    assert run.status == 2
    assert expected in run.error
    assert not (tmp_path / "out").exists()
