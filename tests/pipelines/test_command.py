"""What every job's command line refuses, and how: exit status 2 and one line, nothing changed."""

import datetime
import json
import pathlib
import re
import subprocess
import sys

import pytest

from pipelines import __main__ as by_name
from pipelines import command
from twotower_tf.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]
NO_JOBS = {"__init__", "__main__", "command"}
JOBS = sorted(path.stem for path in ROOT.glob("pipelines/*.py") if path.stem not in NO_JOBS)
CONFIGURED = ["build_examples", "build_index", "evaluate", "recommend", "run_daily", "train"]
HEAVY = ["tensorflow", "tf_keras", "scann", "apache_beam", "matplotlib"]


def _asked(name: str) -> str:
    """Returns a flag that tells a job what to do."""
    return "--user_id=u1" if name == "recommend" else "--date=2024-03-04"


# --- errors ----------------------------------------------------------------------------------


def test_an_error_that_quotes_a_file_without_line_breaks_is_cut(capsys):
    def fail(values, rest):
        raise InputError("no column 'x'; its columns are " + "a\r" * 2_000_000)

    assert command.Command("", [], [], fail)(["job"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: no column 'x'; its columns are a a a")
    assert len(line) < 2100
    assert line.endswith(" ...\n")


# --- by name ----------------------------------------------------------------------------------


def _by_name(monkeypatch, capsys, *words) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["twotower", *words])
    with pytest.raises(SystemExit) as ended:
        by_name.run_named()
    return ended.value.code, *capsys.readouterr()


def test_without_a_name_all_jobs_are_listed(monkeypatch, capsys):
    status, out, _ = _by_name(monkeypatch, capsys)
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[2:]] == JOBS


def test_a_job_is_run_by_its_name_with_dashes(monkeypatch, capsys):
    status, out, _ = _by_name(monkeypatch, capsys, "run-daily", "--help")
    assert (status, out.splitlines()[0][:14]) == (0, "The daily job:")
    status, _, error = _by_name(monkeypatch, capsys, "run-daily", "--date=2024-03-01")
    assert (status, error.splitlines()[-1][:25]) == (2, "error: --config is missin")


def test_a_job_that_is_not_there_is_one_line(monkeypatch, capsys):
    status, _, error = _by_name(monkeypatch, capsys, "run-dayly")
    assert (status, error) == (
        2,
        "error: there is no job 'run-dayly'; did you mean 'run_daily'?\n",
    )


# --- help and what it costs -------------------------------------------------------------------


def test_help_and_a_mistake_in_the_configuration_load_no_heavy_library(tmp_path):
    config = tmp_path / "bad.yaml"
    config.write_text("name: site\nsources: {}\n")
    script = (
        "import importlib, json, sys\n"
        "answers = {}\n"
        f"for job in {JOBS}:\n"
        "    main = importlib.import_module(f'pipelines.{job}').main\n"
        "    assert main([job, '--help']) == 0, job\n"
        "status = importlib.import_module('pipelines.run_daily').main(\n"
        f"    ['run_daily', '--config={config}', '--workdir={tmp_path / 'work'}', '--source=.',\n"
        "     '--date=2024-03-01'])\n"
        f"print(json.dumps([status, [name for name in {HEAVY} if name in sys.modules]]))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == [2, []]
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"error: configuration {config}: unknown key 'sources'")
    assert "did you mean 'source'?" in line
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_tells_what_a_job_does_and_every_flag(job, name, flag):
    run = job(name, flag, "--no_such_flag")
    assert (run.status, run.err) == (0, "")
    assert f"python -m pipelines.{name}" in run.out
    # A check of a source writes nowhere.
    assert any(f"--{one}:" in run.out for one in ("workdir", "out", "source"))
    if name in CONFIGURED:
        assert "--config:" in run.out
        assert "--set:" in run.out


# --- bad flags --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGURED)
def test_an_unknown_flag_is_refused_and_the_nearest_known_one_suggested(site, name):
    run = site.run(name, _asked(name), "--workdri=x")
    assert run.status == 2
    assert "unknown flag --workdri; did you mean 'workdir'?" in run.error
    assert not site.workdir.exists()


@pytest.mark.parametrize("name", CONFIGURED)
@pytest.mark.parametrize("missing", ["config", "workdir"])
def test_a_missing_flag_is_named(job, name, missing):
    flags = ["--config=site.yaml", "--workdir=work", _asked(name)]
    run = job(name, *(flag for flag in flags if not flag.startswith(f"--{missing}")))
    assert run.status == 2
    assert f"--{missing} is missing" in run.error


@pytest.mark.parametrize("name", ["build_examples", "run_daily"])
def test_jobs_that_read_events_need_a_source(job, name):
    run = job(name, "--config=site.yaml", "--workdir=work", _asked(name))
    assert run.status == 2
    assert "--source is missing" in run.error


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "give --date=YYYY-MM-DD, or both --start and --end"),
        (["--start=2024-03-01"], "give --date=YYYY-MM-DD, or both --start and --end"),
        (["--end=2024-03-01"], "give --date=YYYY-MM-DD, or both --start and --end"),
        (["--date=2024-03-01", "--start=2024-03-01"], "--date, or --start and --end, not both"),
        (["--start=2024-03-02", "--end=2024-03-01"], "--end=2024-03-01 is before --start=2024"),
        (["--date=yesterday"], "--date must be a date as YYYY-MM-DD, got 'yesterday'"),
        (["--date=2024-02-30"], "--date must be a date as YYYY-MM-DD, got '2024-02-30'"),
        (["--date=20240301"], "--date must be a date as YYYY-MM-DD, got '20240301'"),
        (["--start=2024-03-01", "--end=x"], "--end must be a date as YYYY-MM-DD, got 'x'"),
        (["--date=2024-03-01", "stray"], "unexpected argument 'stray'"),
        (["--date=2024-03-01", "--verbosity=loud"], "verbosity"),
        (["--date=2024-03-01", "--set=training.batch_size"], "give key.path=value"),
    ],
)
@pytest.mark.parametrize("name", ["build_examples", "run_daily"])
def test_flags_that_name_no_days_or_make_no_sense_are_refused(site, name, flags, expected):
    run = site.run(name, *flags)
    assert run.status == 2
    assert expected in run.error
    assert not site.workdir.exists()


@pytest.mark.parametrize("name", ["evaluate", "build_index"])
def test_a_job_of_one_day_needs_a_date_that_is_one(site, name):
    run = site.run(name)
    assert run.status == 2
    assert "--date is missing" in run.error
    run = site.run(name, "--date=2024-3-1")
    assert run.status == 2
    assert "--date must be a date as YYYY-MM-DD, got '2024-3-1'" in run.error


@pytest.mark.parametrize("flags", [[], ["--wait", "--date=2024-03-01"]])
def test_train_takes_either_days_or_wait(site, flags):
    run = site.run("train", *flags)
    assert run.status == 2
    assert "give either the days (--date, or --start and --end) or --wait" in run.error


def test_beams_options_are_refused_where_no_pipeline_runs(site):
    run = site.run("evaluate", "--date=2024-03-01", "--", "--runner=DirectRunner")
    assert run.status == 2
    assert "options after -- are Beam's" in run.error


# --- bad configurations -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trainin.batch_size=4", "unknown key 'trainin'; did you mean 'training'?"),
        ("training.bach_size=4", "training: unknown key 'bach_size'; did you mean 'batch_size'?"),
        ("training.batch_size=many", "training.batch_size: .*integer.* got 'many'"),
        ("evaluation.at=10", "evaluation.at: .*list.* got 10"),
        (
            "query.features.1.table=itens",
            r"query.features\[1\] \(history\): table 'itens' is not one of tables: items, tags; "
            "did you mean 'items'?",
        ),
    ],
)
@pytest.mark.parametrize("name", CONFIGURED)
def test_a_mistake_in_the_configuration_is_named_with_its_key(site, name, override, expected):
    run = site.run(name, _asked(name), f"--set={override}")
    assert run.status == 2
    assert run.error.startswith(f"error: configuration {site.config}: ")
    assert re.search(expected, run.error), run.error
    assert not site.workdir.exists()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"name: [", b"- a list"])
def test_a_configuration_that_cannot_be_read_is_named(site, job, tmp_path, content):
    config = tmp_path / "other.yaml"
    if content is not None:
        config.write_bytes(content)
    flags = [f"--config={config}", f"--source={site.source}", f"--workdir={site.workdir}"]
    run = job("run_daily", *flags, "--date=2024-03-01")
    assert run.status == 2
    assert f"configuration {config} " in run.error
    assert not site.workdir.exists()


# --- work directories that can't be used ------------------------------------------------------


@pytest.mark.parametrize("name", ["build_examples", "run_daily"])
@pytest.mark.parametrize("inside", ["", "below/it"])
def test_a_file_in_place_of_the_work_directory_is_refused(site, name, inside):
    site.workdir.write_text("precious")
    there = site.workdir
    site.workdir = there / inside
    run = site.run(name, "--date=2024-03-01")
    assert run.status == 2
    assert f"--workdir={site.workdir} can't be made" in run.error
    assert "give a folder you can write" in run.error
    assert there.read_text() == "precious"


def test_a_work_directory_that_cannot_be_made_is_refused(site):
    site.workdir = pathlib.Path("/proc/nope")
    run = site.run("run_daily", "--date=2024-03-01")
    assert run.status == 2
    assert "--workdir=/proc/nope can't be made" in run.error


@pytest.mark.parametrize("flag", ["workdir", "source"])
def test_a_url_of_a_kind_that_is_not_supported_is_refused(site, flag):
    run = site.run("run_daily", "--date=2024-03-01", f"--{flag}=gs://bucket/work")
    assert run.status == 2
    assert f"error: --{flag}=gs://bucket/work: gs:// is not supported; give a folder" in run.error


@pytest.mark.parametrize(("name", "flag"), [("demo", "workdir"), ("simulate_events", "out")])
def test_jobs_that_write_to_a_disk_only_refuse_a_url(job, name, flag):
    run = job(name, f"--{flag}=s3://bucket/work")
    assert run.status == 2
    assert f"--{flag}=s3://bucket/work: " in run.error
    assert "folder of this machine" in run.error


@pytest.mark.parametrize("kind", ["examples", "histories", "catalogue", "rejected"])
def test_a_file_in_place_of_a_folder_fails_the_build_and_leaves_the_file(site, kind):
    site.workdir.mkdir()
    (site.workdir / kind).write_text("precious")
    run = site.run("run_daily", "--date=2024-03-01")
    assert run.status == 1
    assert str(site.workdir / kind) in run.error
    assert (site.workdir / kind).read_text() == "precious"
    assert "examples" not in site.made(datetime.date(2024, 3, 1))


@pytest.mark.parametrize("name", CONFIGURED)
@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("estimator.alpha=0.3", "estimator.alpha"),
        ("seed=18", "seed"),
        ("training.batch_size=8", "training.batch_size"),
        ("query.features.0.table=tags", "query.features[0].table"),
        ("source.events.timestamp_unit=milliseconds", "source.events.timestamp_unit"),
    ],
)
def test_a_work_directory_of_another_configuration_is_refused(finished_site, name, override, key):
    before = finished_site.files()
    run = finished_site.run(name, _asked(name), f"--set={override}")
    assert run.status == 2
    assert f"--workdir={finished_site.workdir}: {key} is " in run.error
    assert ": go on with that, or " in run.error
    assert finished_site.files() == before
