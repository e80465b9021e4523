"""The daily job: one call or several, done already, died half-way, gates that hold."""

import datetime
import shutil

import numpy as np
import pytest

import twotower_tf  # noqa: F401

# isort: split
import tensorflow as tf

# What two runs that do the same differ in: how long things took, when, and where.
CLOCK = {
    "seconds",
    "examples_per_second",
    "selection_seconds",
    "embedding_seconds",
    "index_seconds",
    "created",
}
PLACE = {"release", "report"}
# Days of one call have at hand what later ones need of earlier ones, and a build that died
# before it wrote its metrics leaves no costs.
COSTS = {"history_rows_read", "history_rows_written"}


def _tensors(site, day: datetime.date) -> dict[str, np.ndarray]:
    path = site.workdir / "checkpoints" / f"dt={day}" / "checkpoint"
    reader = tf.train.load_checkpoint(str(path))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def _without(value, keys: set[str]):
    if isinstance(value, dict):
        return {k: _without(v, keys) for k, v in value.items() if k not in keys}
    return [_without(one, keys) for one in value] if isinstance(value, list) else value


def _measured(site, job: str, day: datetime.date) -> dict:
    """Returns what a job measured of a day, without times, places and costs."""
    return _without(site.metrics(job, day), CLOCK | PLACE | COSTS)


# --- one call or several ----------------------------------------------------------------------


@pytest.mark.long
def test_days_one_by_one_end_with_the_same_checkpoint_to_the_bit_as_in_one_call(
    finished_site, finished, days
):
    shutil.rmtree(finished.workdir)
    for day in days[:3]:
        assert finished.run("run_daily", f"--date={day}").status == 0
    for day in days[:3]:
        together, separate = _tensors(finished_site, day), _tensors(finished, day)
        assert together.keys() == separate.keys()
        assert len(together) > 10
        for name, value in together.items():
            assert np.array_equal(value, separate[name]), (day, name)
    kinds = ("checkpoints", "catalogue", "rejected", "histories", "examples")
    assert finished.files(*kinds) == finished_site.files(*kinds)
    for job in ("build_examples", "train", "evaluate"):
        for day in days[:3]:
            assert _measured(finished, job, day) == _measured(finished_site, job, day)
    assert _measured(finished, "build_index", days[2]) == (
        _measured(finished_site, "build_index", days[2])
    )
    # Of several days in one call only the last one's release would ever be served.
    assert finished_site.releases() == ["2024030300"]
    assert finished.releases() == ["2024030100", "2024030200", "2024030300"]


def test_a_call_shows_a_line_a_day_the_release_and_the_report(finished_site, days):
    lines = finished_site.first_run.out.splitlines()
    table, release, report = lines[3:6], lines[6], lines[7]
    assert [line.split()[0] for line in table] == [str(day) for day in days[:3]]
    for line, day in zip(table, days, strict=False):
        counts = finished_site.manifest("examples", day)["counts"]
        assert line.split()[1:4] == [str(counts[k]) for k in ("events", "examples", "rejected")]
    workdir = finished_site.workdir
    assert release == f"release: {workdir}/releases/site/2024030300"
    assert report == f"report:  {workdir}/reports/dt={days[2]}.html"
    assert (workdir / "reports" / f"dt={days[2]}.html").exists()
    assert len(lines) == 8


def test_on_stderr_there_are_only_lines_of_our_own_log(finished_site):
    lines = finished_site.first_run.err.splitlines()
    ours = ("training on", "embedding the catalogue", "selection of", "the index cov", "2024-03-")
    assert [line for line in lines if not line[9:].startswith(ours)] == []
    assert any(line.endswith("2024-03-03 done, 3 of 3 days, 0 s left") for line in lines)


# --- days that are done -----------------------------------------------------------------------


def test_a_day_that_is_done_is_left_as_it_is(finished_site, days):
    before = finished_site.files()
    for flags in ([f"--date={days[2]}"], [f"--start={days[0]}", f"--end={days[2]}"]):
        run = finished_site.run("run_daily", *flags)
        assert run.status == 0
        assert f"nothing to do: {days[2]} is done" in run.err
        assert f"release: {finished_site.workdir}/releases/site/2024030300" in run.out
    assert finished_site.files() == before


@pytest.mark.long
def test_a_range_whose_first_days_are_done_goes_on_after_them(finished, days):
    before = finished.files("examples", "checkpoints")
    run = finished.run("run_daily", f"--start={days[1]}", f"--end={days[4]}")
    assert run.status == 0
    assert [line.split()[0] for line in run.out.splitlines()[3:5]] == [str(days[3]), str(days[4])]
    assert finished.releases() == ["2024030300", "2024030500"]
    assert finished.manifest("checkpoints", days[4])["days_trained"] == [str(day) for day in days]
    after = finished.files("examples", "checkpoints")
    # Only the three newest checkpoints are kept.
    kept = {name for name in before if "checkpoints" not in name or str(days[2]) in name}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


def test_a_day_before_the_last_trained_one_is_refused(finished, days, day_events):
    earlier = days[0] - datetime.timedelta(days=1)
    finished.write_day(earlier, day_events(earlier))
    before = finished.files()
    for flags in ([f"--date={earlier}"], [f"--start={earlier}", f"--end={days[2]}"]):
        run = finished.run("run_daily", *flags)
        assert run.status == 2
        assert f"{earlier} is a day before the last built one, {days[2]}" in run.error
        assert "build days oldest first, or into a new folder" in run.error
        assert finished.files() == before


def test_a_day_in_the_middle_that_is_done_is_left_as_it_is(finished_site, days):
    before = finished_site.files()
    run = finished_site.run("run_daily", f"--date={days[1]}")
    assert run.status == 0
    assert finished_site.files() == before
    assert f"nothing to do: {days[1]} is done" in run.err


# --- days that died half-way ------------------------------------------------------------------


# What a run makes of a day, in this order. Where it dies, the rest is missing.
STEPS = [
    "examples/dt={day}",
    "metrics/build_examples/dt={day}.json",
    "metrics/train/dt={day}.json",
    "checkpoints/dt={day}",
    "metrics/evaluate/dt={day}.json",
    "releases/site/2024030300",
    "metrics/run_daily/dt={day}.json",
]


def _die_before(site, day: datetime.date, step: str) -> list[str]:
    """Takes away what a run would have made from a step on; returns those steps."""
    missing = STEPS[STEPS.index(step) :]
    for path in (site.workdir / one.format(day=day) for one in missing):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    first = site.workdir / step.format(day=day)
    if first.suffix != ".json":
        half = first.parent / ".staging" / first.name
        half.mkdir(parents=True)
        (half / "half").write_text("half")
        half.with_name(f"{half.name}.lock").write_text("")
    return missing


@pytest.mark.long
@pytest.mark.parametrize("step", [step for step in STEPS if "metrics/train" not in step])
def test_a_day_that_died_half_way_is_finished_by_the_next_call(finished, finished_site, days, step):
    day = days[2]
    missing = _die_before(finished, day, step)
    run = finished.run("run_daily", f"--date={day}")
    assert run.status == 0
    assert finished.files("checkpoints", "examples", "histories") == finished_site.files(
        "checkpoints", "examples", "histories"
    )
    version = "2024030300" if "releases/site/2024030300" in missing else "2024030301"
    assert finished.releases()[-1] == version
    assert finished.metrics("run_daily", day)["status"] == "released"
    for job in ("build_examples", "train"):
        assert _measured(finished, job, day) == _measured(finished_site, job, day)
    evaluated = [_measured(one, "evaluate", day) for one in (finished, finished_site)]
    assert evaluated[0]["after"] == evaluated[1]["after"]
    assert f"release: {finished.workdir}/releases/site/{version}" in run.out
    assert not [name for name in finished.files() if ".staging" in name]


# --- gates, and losses that are no numbers ----------------------------------------------------


def test_gates_that_fail_publish_nothing_until_they_are_relaxed(finished, days):
    released = finished.releases()
    strict = ["--set=gates.min_examples=1000", "--set=gates.min_recall_ratio=50"]
    run = finished.run("run_daily", f"--date={days[3]}", *strict)
    assert run.status == 1
    examples = finished.manifest("examples", days[3])["counts"]["examples"]
    assert run.error.startswith(
        f"error: the release of {days[3]} was held back by a gate: examples: {examples} is less "
        "than the required 1,000 (gates.min_examples); recall@10: 0."
    )
    assert "(gates.min_recall_ratio 50 times the last release's 0." in run.error
    assert finished.releases() == released
    assert not list(finished.workdir.glob("releases/**/.staging"))
    record = finished.metrics("run_daily", days[3])
    assert (record["status"], record["release"]) == ("held", None)
    assert [gate["name"] for gate in record["gates"] if not gate["passed"]] == [
        "examples",
        "recall@10",
    ]
    report = (finished.workdir / "reports" / f"dt={days[3]}.html").read_text(encoding="utf-8")
    assert "a gate failed" in report
    checkpoint = finished.files("checkpoints")

    run = finished.run("run_daily", f"--date={days[3]}", "--set=gates.min_examples=1")
    assert run.status == 0
    assert finished.releases() == [*released, "2024030400"]
    assert finished.metrics("run_daily", days[3])["status"] == "released"
    assert finished.files("checkpoints") == checkpoint


@pytest.mark.parametrize("job", ["run_daily", pytest.param("build_index", marks=pytest.mark.long)])
def test_a_release_held_back_goes_on_under_another_evaluation_at(finished, days, job):
    run = finished.run("run_daily", f"--date={days[3]}", "--set=gates.min_examples=1000")
    assert run.status == 1
    before = finished.metrics("evaluate", days[3])
    finished.values["evaluation"]["at"] = [2, 7]
    run = finished.run(job, f"--date={days[3]}")
    assert run.status == 0, run.err
    assert finished.releases()[-1] == "2024030400"
    gates = finished.metrics("run_daily", days[3])["gates"]
    assert "recall@7" in [gate["name"] for gate in gates]
    evaluated = finished.metrics("evaluate", days[3])
    assert list(evaluated["after"]["methods"]["model"]["recall"]) == ["2", "7"]
    # What only the model of the day before could tell stays as it was told.
    assert evaluated["before"] == before["before"]
    assert evaluated["frequencies"] == before["frequencies"]
    # Days evaluated at other K stand in one report and one table.
    report = (finished.workdir / "reports" / f"dt={days[3]}.html").read_text(encoding="utf-8")
    assert "Recall@7, after training on the day" in report
    assert finished.run("run_daily", f"--date={days[4]}").status == 0


def _histories(site, day) -> dict:
    """Returns the histories of all users at the end of a day."""
    from tests.user_rows import find_history
    from twotower_tf.examples.users import histories
    from twotower_tf.storage import Workdir

    workdir = Workdir(str(site.workdir))
    partition = workdir.partition(histories.KIND, day)
    users = histories.some_users(workdir, partition, 1000)
    return {user: find_history(workdir, partition, user) for user in users}


@pytest.mark.long
def test_keys_that_bind_nothing_change_from_night_to_night_and_the_report_and_card_say_when(
    finished, days, tmp_path
):
    calm = finished.copy(tmp_path / "calm")
    spoilt = finished.run("run_daily", f"--date={days[3]}", "--set=optimizer.learning_rate=1e38")
    assert spoilt.status == 1
    assert finished.days("checkpoints")[-1] == str(days[2])
    changed = [
        "--set=optimizer.learning_rate=0.02",
        "--set=loss={kind: plain_softmax, temperature: 0.2}",
        "--set=examples.shards=3",
        "--set=examples.reward.low=0.2",
        "--set=selection.min_examples=0",
    ]
    for one in (finished, calm):
        run = one.run("run_daily", f"--date={days[3]}", *changed)
        assert run.status == 0, run.err
    # Built before the spoilt training, and so with the shards and rewards of then.
    assert len(finished.manifest("histories", days[3])["shards"]) == 2
    assert len(calm.manifest("histories", days[3])["shards"]) == 3
    for key in ("weight", "loss"):
        assert finished.metrics("train", days[3])[key] > 0
    card = next(finished.workdir.glob(f"releases/site/{days[3]:%Y%m%d}*/assets.extra/*.md"))
    row = f"| {days[3]} | optimizer.learning_rate | default | 0.02 |"
    assert row in card.read_text(encoding="utf-8")
    report = (calm.workdir / "reports" / f"dt={days[3]}.html").read_text(encoding="utf-8")
    for key in ("examples.shards", "examples.reward.low", "loss.temperature"):
        assert key in report
    for one in (finished, calm):
        run = one.run("run_daily", f"--date={days[4]}")
        assert run.status == 0, run.err
    assert len(calm.manifest("histories", days[4])["shards"]) == 2
    assert _histories(calm, days[4]) == _histories(finished, days[4]) != {}


def test_a_loss_that_is_no_number_fails_the_day_and_keeps_the_last_checkpoint(site, days):
    site.values["optimizer"] = {"learning_rate": 1e38}
    run = site.run("run_daily", f"--date={days[0]}")
    assert run.status == 1
    assert f"the loss of {days[0]} is " in run.error
    assert "run it again with --set optimizer.learning_rate=1e+37" in run.error
    assert site.days("checkpoints") == []
    assert site.releases() == []
    assert site.metrics("run_daily", days[0]) is None
    assert not [trace for trace in site.made(days[0]) if ".staging" in trace]
