"""The protocol as a job: it measures what the nights measure, and goes on where it stopped."""

import datetime
import json
import shutil

import pytest
import yaml

DAYS = [datetime.date(2024, 3, day) for day in range(1, 23)]
LOSSES = ["corrected_softmax", "plain_softmax"]
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def call(job):
    """Runs the protocol on all days of a site with two losses, and what else is given."""

    def run(site, *flags):
        site.config.write_text(yaml.safe_dump(site.values), encoding="utf-8")
        own = [f"--config={site.config}", f"--source={site.source}", f"--out={site.root / 'out'}"]
        days = [f"--start={DAYS[0]}", f"--end={DAYS[-1]}"]
        return job("protocol", *own, *days, f"--losses={','.join(LOSSES)}", *flags)

    return run


@pytest.fixture(scope="module")
def studied(make_site, day_events, call, tmp_path_factory):
    """A site of 22 small days on which the protocol ran; to be read, not to be changed."""
    made = make_site(tmp_path_factory.mktemp("protocol")).write_usual()
    made.values["loss"] = {"kind": "corrected_softmax"}
    for day in DAYS:
        made.write_day(day, day_events(day, 60))
    made.first = call(made)
    assert made.first.status == 0, made.first.err
    return made


def written(site) -> dict:
    return json.loads((site.root / "out" / "protocol.json").read_text())


def test_it_measures_of_the_last_seven_days_what_the_nights_measure_after_training(studied):
    night = studied.run("run_daily", f"--start={DAYS[0]}", f"--end={DAYS[-1]}")
    assert night.status == 0, night.err
    found = written(studied)
    assert found["measured"] == [str(day) for day in DAYS[-7:]]
    days = [studied.metrics("evaluate", day)["after"] for day in DAYS[-7:]]
    recalls = [day["methods"]["model"]["recall"] for day in days]
    by_day = found["losses"]["corrected_softmax"]["by_seed_and_day"]["17"]
    assert by_day == {k: [recall[k] for recall in recalls] for k in ("1", "5", "10")}
    assert found["held_out"] == [day["held_out"] for day in days]
    plain = found["losses"]["plain_softmax"]["by_seed_and_day"]["17"]
    assert plain != by_day


def test_it_prints_a_row_a_loss(studied):
    rows = {line.split()[0]: line.split()[1:] for line in studied.first.out.splitlines()[1:3]}
    assert list(rows) == LOSSES
    assert rows["plain_softmax"][-3:] == ["1.000"] * 3
    assert studied.first.out.splitlines()[-1] == f"report: {studied.root}/out/protocol.html"


def test_a_second_call_goes_on_where_the_first_died(studied, call, tmp_path):
    made = studied.copy(tmp_path / "site")
    run = made.root / "out" / "plain_softmax-17"
    # Killed between the checkpoint of the last day but one and its evaluation.
    for day in DAYS[-2:]:
        (run / "metrics" / "evaluate" / f"dt={day}.json").unlink()
    shutil.rmtree(run / "checkpoints" / f"dt={DAYS[-1]}")
    kept = run / "metrics" / "train" / f"dt={DAYS[-2]}.json"
    before = kept.stat()
    again = call(made)
    assert again.status == 0, again.err
    assert (run / "checkpoints" / f"dt={DAYS[-1]}" / "manifest.json").exists()
    assert kept.stat() == before
    assert written(made) == written(studied)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([f"--end={DAYS[-2]}"], "error: the protocol needs 22 days, 15 to catch up"),
        (["--losses=corected_softmax"], "did you mean 'corrected_softmax'?"),
        (["--seeds=1,x"], "error: --seeds=1,x: give whole numbers"),
        (["--config="], "error: --source needs its configuration"),
        (["--set=loss.temperature=0.2"], "holds another variant: give a new folder"),
        (["--source=", "--end="], "--start and --end are for a --source"),
    ],
)
def test_wrong_flags_end_with_status_2(studied, call, flags, expected):
    run = call(studied, *flags)
    assert run.status == 2
    assert expected in run.error
