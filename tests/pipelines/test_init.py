"""The job that writes a first configuration, and whether what it writes runs."""

import json
import pathlib

import pytest

from tests.discovery import published
from tests.pipelines.conftest import run_job
from twotower_tf.config_loader import load_config

_DATA = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"


def test_it_writes_a_configuration_and_says_what_comes_next(tmp_path):
    published.write_songs(tmp_path / "songs")
    out = tmp_path / "mine.yaml"
    run = run_job("init", f"--source={tmp_path / 'songs'}", f"--out={out}")
    assert run.status == 0, run.err
    assert "events: plays/dt={date}/part-*.csv, 1,800 rows" in run.out
    assert f"run_daily --config={out} --source={tmp_path / 'songs'}" in run.out
    assert "--start=2024-03-01 --end=2024-03-03" in run.out
    # What it is unsure of stands in both.
    assert "  - reward: played_seconds is taken for" in run.out
    assert "#   - reward: played_seconds is taken for" in out.read_text()
    assert load_config(str(out)).name == "songs"


def test_without_out_the_file_has_the_name_of_the_source(tmp_path, monkeypatch):
    published.write_retailrocket(tmp_path / "Retail-Rocket")
    monkeypatch.chdir(tmp_path)
    assert run_job("init", "--source=Retail-Rocket").status == 0
    assert load_config("retail_rocket.yaml").name == "retail_rocket"


def test_a_file_that_is_there_is_never_overwritten(tmp_path):
    published.write_songs(tmp_path / "songs", days=1)
    out = tmp_path / "mine.yaml"
    out.write_text("name: mine\n")
    run = run_job("init", f"--source={tmp_path / 'songs'}", f"--out={out}")
    assert run.status == 2
    assert "the file is there already; name another one" in run.error
    assert out.read_text() == "name: mine\n"


def test_a_folder_without_events_is_one_line_and_nothing_is_written(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "stations.csv").write_text("station,height\na,1\nb,2\n")
    out = tmp_path / "mine.yaml"
    run = run_job("init", f"--source={tmp_path / 'notes'}", f"--out={out}")
    assert run.status == 2
    assert "no events can be found" in run.error
    assert "stations.csv (station, height)" in run.error
    assert not out.exists()


@pytest.mark.parametrize(
    "name", ["movielens-100k", pytest.param("wikispeedia", marks=pytest.mark.long)]
)
def test_of_published_data_it_finds_what_the_shipped_configuration_says(name, tmp_path):
    source = _DATA / name
    if not source.is_dir():
        pytest.skip(f"{source} is not there: the data set is not part of this repository")
    out = tmp_path / "found.yaml"
    assert run_job("init", f"--source={source}", f"--out={out}").status == 0
    found = load_config(str(out))
    shipped = load_config(f"configs/{name.split('-')[0]}.yaml")
    for what in ("events", "items", "users"):
        ours, theirs = getattr(found.source, what), getattr(shipped.source, what)
        assert ours == theirs
    assert found.examples.reward == shipped.examples.reward
    mine = {feature.column: feature.kind for feature in found.candidate.features}
    assert mine == {feature.column: feature.kind for feature in shipped.candidate.features}


SAMPLES = pytest.mark.parametrize(
    ("write", "end"),
    [
        (published.write_songs, "2024-03-03"),
        (published.write_retailrocket, "2024-03-06"),
        (published.write_hm, "2024-03-10"),
    ],
)


def _run_what_it_writes(job, write, end, folder):
    """Runs a job with the YAML that ``init`` writes for a sample; returns the work directory."""
    source, out, work = folder / "source", folder / "found.yaml", folder / "work"
    write(source)
    assert run_job("init", f"--source={source}", f"--out={out}").status == 0
    flags = (f"--config={out}", f"--source={source}", f"--workdir={work}")
    run = run_job(job, *flags, "--start=2024-03-01", f"--end={end}")
    assert run.status == 0, run.err
    return work


@SAMPLES
def test_with_what_it_writes_no_event_is_rejected(write, end, tmp_path):
    work = _run_what_it_writes("build_examples", write, end, tmp_path)
    days = [json.loads(path.read_text()) for path in work.glob("metrics/build_examples/*.json")]
    assert len(days) == int(end[-2:])
    for day in days:
        assert day["events"] > 400
        assert day["rejected"] == day["duplicates"] == 0


@pytest.mark.long
@SAMPLES
def test_what_it_writes_runs_without_an_edit(write, end, tmp_path):
    work = _run_what_it_writes("run_daily", write, end, tmp_path)
    assert len(list((work / "releases").glob("*/*"))) == 1
