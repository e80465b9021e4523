"""The jobs one by one, event files of every kind, and what the release recommends."""

import json
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from twotower_tf.config_loader import load_config
from twotower_tf.examples.items.catalogue_reader import load_catalogue
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf

from twotower_tf.training.trainer import Trainer

CLOCK = {
    "seconds",
    "examples_per_second",
    "selection_seconds",
    "embedding_seconds",
    "index_seconds",
}


def _measured(site, job: str, day) -> dict:
    values = site.metrics(job, day)
    return {name: value for name, value in values.items() if name not in CLOCK}


# --- job by job -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def job_by_job(finished_site, days, tmp_path_factory):
    """The days of the finished site again, each job called by itself."""
    made = finished_site.copy(tmp_path_factory.mktemp("job_by_job"))
    shutil.rmtree(made.workdir)
    three = [f"--start={days[0]}", f"--end={days[2]}"]
    made.built = made.run("build_examples", *three)
    made.trained = [made.run("train", f"--date={days[0]}"), made.run("train", *three)]
    made.evaluated = made.run("evaluate", f"--date={days[2]}")
    made.indexed = made.run("build_index", f"--date={days[2]}")
    runs = [made.built, *made.trained, made.evaluated, made.indexed]
    assert [run.status for run in runs] == [0] * 5, runs
    return made


@pytest.mark.long
def test_job_by_job_makes_what_the_daily_job_makes(job_by_job, finished_site, days):
    kinds = ("catalogue", "rejected", "histories", "examples", "checkpoints")
    assert job_by_job.files(*kinds) == finished_site.files(*kinds)
    for job, measured in (("build_examples", days[:3]), ("train", days[:3])):
        for day in measured:
            assert _measured(job_by_job, job, day) == _measured(finished_site, job, day)
    assert _measured(job_by_job, "build_index", days[2]) == (
        _measured(finished_site, "build_index", days[2])
    )
    assert job_by_job.releases() == finished_site.releases() == ["2024030300"]
    assert job_by_job.metrics("run_daily", days[2])["status"] == "released"


def test_evaluate_prints_and_writes_what_the_daily_job_measured(job_by_job, finished_site, days):
    printed = json.loads(job_by_job.evaluated.out)
    assert printed == job_by_job.metrics("evaluate", days[2])
    expected = finished_site.metrics("evaluate", days[2])
    assert printed["after"] == expected["after"]
    assert printed["frequencies"] == expected["frequencies"]
    # Before training on the day it was not asked.
    assert printed["before"] is None


def test_jobs_say_what_they_did(job_by_job, days):
    lines = job_by_job.built.err.splitlines()
    line = next(line for line in lines if f"{days[1]}: " in line and "duplicates" in line)
    for name, count in job_by_job.manifest("examples", days[1])["counts"].items():
        assert f" {count} {name}" in line
    first, all_three = (
        [line[9:19] for line in run.err.splitlines() if ", loss " in line]
        for run in job_by_job.trained
    )
    assert (first, all_three) == ([str(days[0])], [str(days[1]), str(days[2])])
    assert job_by_job.indexed.out.splitlines()[0] == (
        f"release: {job_by_job.workdir}/releases/site/2024030300"
    )


@pytest.mark.long
def test_evaluating_a_day_that_is_built_but_not_trained_is_the_protocol_before(finished, days):
    assert finished.run("build_examples", f"--date={days[3]}").status == 0
    before = json.loads(finished.run("evaluate", f"--date={days[3]}").out)
    assert before["after"] is None
    assert finished.run("run_daily", f"--date={days[3]}").status == 0
    assert finished.metrics("evaluate", days[3])["before"] == before["before"]


def test_jobs_called_again_change_nothing(finished_site, days):
    before = finished_site.files()
    run = finished_site.run("train", f"--start={days[0]}", f"--end={days[2]}")
    assert run.status == 0
    assert "nothing to do: trained up to 2024-03-03 already" in run.err
    assert finished_site.run("build_examples", f"--date={days[0]}").status == 0
    assert finished_site.files() == before


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ("evaluate", "there are no examples of 2024-03-05"),
        ("train", "there are no examples of 2024-03-05: run build_examples for it first"),
        (
            "build_index",
            "there is no checkpoint of 2024-03-05: the newest up to it is of 2024-03-03",
        ),
    ],
)
def test_a_day_that_was_not_made_is_refused(finished_site, days, job, expected):
    before = finished_site.files()
    run = finished_site.run(job, f"--date={days[4]}")
    assert run.status == 2
    assert expected in run.error
    assert finished_site.files() == before


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ("evaluate", "there is no checkpoint of 2024-03-01 or before"),
        ("train", "there are no examples of 2024-03-01"),
        ("build_index", "there is no checkpoint of 2024-03-01"),
    ],
)
def test_an_empty_work_directory_is_refused(site, days, job, expected):
    site.workdir.mkdir()
    run = site.run(job, f"--date={days[0]}")
    assert run.status == 2
    assert expected in run.error
    assert site.made(days[0]) == []


def test_to_exclude_every_item_prints_nothing_but_why(finished_site):
    listed = finished_site.run("recommend", "--user_id=u1", "--k=100").out.splitlines()
    excluded = [f"--exclude={line.split()[1]}" for line in listed]
    run = finished_site.run("recommend", "--user_id=u1", *excluded)
    assert (run.status, run.out) == (1, "")
    assert f"nothing to recommend: all of the {len(listed)} items of release" in run.error
    left = finished_site.run("recommend", "--user_id=u1", *excluded[1:])
    assert (left.status, left.out.split()[1]) == (0, listed[0].split()[1])


# --- event files of every kind ----------------------------------------------------------------

COLUMNS = ["user_id", "item_id", "timestamp", "seed", "watched", "device"]


def _csv_lines(records: list[dict]) -> list[bytes]:
    rows = [COLUMNS, *([record.get(name, "") for name in COLUMNS] for record in records)]
    return [",".join(map(str, row)).encode() for row in rows]


def _write_parquet(path, records: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{name: record.get(name) for name in COLUMNS} for record in records]
    pa.parquet.write_table(pa.Table.from_pylist(rows), path)


def _one_csv(site, days, events_of):
    log = [record for day in days for record in events_of(day)]
    site.write("log.csv", _csv_lines(log))
    return "log.csv"


def _csv_folders(site, days, events_of):
    for day in days:
        site.write(f"logs/dt={day}/part.csv", _csv_lines(events_of(day)))
    return "logs/dt={date}/*.csv"


def _one_json_lines(site, days, events_of):
    site.write("log.jsonl", [record for day in days for record in events_of(day)])
    return "log.jsonl"


def _json_lines_glob(site, days, events_of):
    log = [record for day in days for record in events_of(day)]
    for part in range(3):
        site.write(f"parts/part-{part}.jsonl", log[part::3])
    return "parts/*.jsonl"


def _one_parquet(site, days, events_of):
    log = [record for day in days for record in events_of(day)]
    _write_parquet(site.source / "log.parquet", log)
    return "log.parquet"


def _parquet_folders(site, days, events_of):
    for day in days:
        events = events_of(day)
        for part in range(2):
            _write_parquet(site.source / f"logs/{day}/part-{part}.parquet", events[part::2])
    return "logs/{date}/*.parquet"


@pytest.mark.parametrize(
    "write",
    [_one_csv, _csv_folders, _one_json_lines, _json_lines_glob, _one_parquet, _parquet_folders],
)
def test_the_same_events_in_any_kind_of_file_make_the_same_examples(
    site, finished_site, days, day_events, write
):
    site.values["source"]["events"]["path"] = write(site, days[:3], day_events)
    run = site.run("build_examples", f"--start={days[0]}", f"--end={days[2]}")
    assert run.status == 0
    kinds = ("examples", "histories", "catalogue")
    made, expected = site.files(*kinds), finished_site.files(*kinds)
    for day in days[:3]:
        # What was read from which file is in the manifest.
        name = f"examples/dt={day}/manifest.json"
        manifests = [json.loads(files.pop(name)) for files in (made, expected)]
        assert manifests[0]["counts"] == manifests[1]["counts"]
        assert manifests[0]["shards"] == manifests[1]["shards"]
    assert made == expected


@pytest.mark.long
def test_without_user_profiles_the_daily_job_runs_just_as_well(site, days):
    del site.values["source"]["users"]
    (site.source / "users.jsonl").unlink()
    features = site.values["query"]["features"]
    site.values["query"]["features"] = [one for one in features if one.get("of") != "user"]
    assert site.run("run_daily", f"--date={days[0]}").status == 0
    assert site.releases() == ["2024030100"]
    assert len(site.run("recommend", "--user_id=u1", "--k=3").out.splitlines()) == 3


# --- what the release recommends --------------------------------------------------------------


def _rows(run) -> list[tuple[str, float, str]]:
    rows = [line.split(maxsplit=2) for line in run.out.splitlines()]
    return [(item_id, float(score), title) for score, item_id, title in rows]


def _exact(site, query: dict) -> list[tuple[str, float]]:
    """Scores a query with the towers of the newest checkpoint, in NumPy; best first."""
    config, workdir = load_config(str(site.config)), Workdir(str(site.workdir))
    model = Trainer(config, workdir).model
    catalogue = load_catalogue(workdir, config, Trainer(config, workdir).last_day)
    items = {
        name: tf.RaggedTensor.from_row_splits(values.values.tolist(), values.row_splits)
        if hasattr(values, "row_splits")
        else tf.constant(values)
        for name, values in catalogue.features.items()
    }
    raw = {"seed_item_id": "", "history": [], "device": "", "country": ""} | query
    tensors = {name: tf.constant([raw[name]]) for name in ("seed_item_id", "device", "country")}
    tensors["history"] = tf.ragged.constant([raw["history"]], dtype=tf.string)
    embeddings = model.candidate_tower(items).numpy().astype(np.float64)
    scores = embeddings @ model.query_tower(tensors).numpy()[0].astype(np.float64)
    order = np.argsort(-scores)
    return [(str(catalogue.item_ids[one]), float(scores[one])) for one in order]


def _assert_same(rows, expected) -> None:
    scores = dict(expected)
    np.testing.assert_allclose([s for _, s, _ in rows], [s for _, s in expected], atol=1e-4)
    for item_id, score, title in rows:
        assert score == pytest.approx(scores[item_id], abs=1e-4)
        assert title == f"Title {item_id[1:]}"
    assert len({item_id for item_id, _, _ in rows}) == len(rows)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"seed_item_id": "i3"},
        {"seed_item_id": "i3", "history": ["i1", "i2", "i3"], "device": "tv", "country": "c1"},
        {"seed_item_id": "never seen", "history": ["new"], "device": "watch"},
    ],
)
def test_the_release_answers_as_exact_search_with_the_trainers_towers(finished_site, query):
    run = finished_site.run("recommend", f"--query={json.dumps(query)}", "--k=100")
    assert run.status == 0
    rows = _rows(run)
    # The item that is not published yet is not recommended.
    assert sorted(row[0] for row in rows) == sorted(f"i{number}" for number in range(24))
    _assert_same(rows, _exact(finished_site, query))


def test_k_gives_the_head_of_the_whole_list(finished_site):
    whole = finished_site.run("recommend", "--query={}", "--k=100").out.splitlines()
    assert finished_site.run("recommend", "--query={}", "--k=3").out.splitlines() == whole[:3]
    assert finished_site.run("recommend", "--query={}").out.splitlines() == whole[:10]


def test_excluded_items_make_room_for_the_next_ones(finished_site):
    whole = finished_site.run("recommend", "--query={}", "--k=100").out.splitlines()
    best, _, third = (line.split()[1] for line in whole[:3])
    excluded = [f"--exclude={one}" for one in (third, best, "never seen")]
    run = finished_site.run("recommend", "--query={}", "--k=4", *excluded)
    assert run.status == 0
    assert run.out.splitlines() == [whole[1], *whole[3:6]]


@pytest.mark.parametrize("user", ["u1", "u29"])
def test_a_user_is_asked_for_with_the_history_the_last_item_and_the_profile(
    finished_site, days, day_events, user
):
    events = [one for day in days[:3] for one in day_events(day) if one["user_id"] == user]
    history = [one["item_id"] for one in sorted(events, key=lambda one: one["timestamp"])][-5:]
    query = {"seed_item_id": history[-1], "history": history}
    if user == "u1":
        # The last users have no profile.
        query["country"] = "c1"
    run = finished_site.run("recommend", f"--user_id={user}", "--k=100")
    assert run.status == 0
    _assert_same(_rows(run), _exact(finished_site, query))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--user_id=nobody"], "user 'nobody' has no history up to 2024-03-03 .*check the id"),
        (["--query={'device': 'tv'}"], "--query is not JSON: "),
        (["--query=[1]"], r"--query must be a JSON object of query features, got \[1\]"),
        (['--query={"devise": "tv"}'], "unknown feature 'devise'; did you mean 'device'?"),
        (['--query={"device": 0.5}'], "'device' must be a text in quotes or a whole number, got 0"),
        (['--query={"history": "i1"}'], "'history' must be a list of texts or whole n.*, got \"i1"),
        (["--query={}", "--user_id=u1"], "give either --query or --user_id"),
        ([], "give either --query or --user_id"),
        (
            ["--query={}", "--exclude=i1", "--exclude="],
            "--exclude is empty; give the id of an item",
        ),
        (["--query={}", "--k=0"], "k must be at least 1, got 0"),
        (["--query={}", "--k=-1"], "k"),
        (["--query={}", "--k=few"], "k"),
    ],
)
def test_a_question_that_does_not_fit_is_refused_with_what_would(finished_site, flags, expected):
    run = finished_site.run("recommend", *flags)
    assert (run.status, run.out) == (2, "")
    assert re.search(expected, run.error), run.error


@pytest.mark.parametrize("job", ["evaluate --date=D", "train --date=D", "recommend --user_id=u1"])
def test_a_mistyped_work_directory_is_named_and_not_made(site, days, job):
    run = site.run(*job.replace("D", str(days[0])).split())
    assert run.status == 2
    assert f"--workdir={site.workdir}: there is no such folder" in run.error
    assert not site.workdir.exists()


def test_without_a_release_there_is_nothing_to_recommend(site):
    site.workdir.mkdir()
    run = site.run("recommend", "--user_id=u1")
    assert run.status == 2
    assert "there is no release of 'site'" in run.error
    assert "run pipelines.run_daily first" in run.error
