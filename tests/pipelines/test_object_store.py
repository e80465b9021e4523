"""The jobs where the work directory and the source are in an object store."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from twotower_tf import storage

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What the build makes.
BUILT = ("examples", "catalogue", "profiles", "histories", "counts", "rejected", "statistics")
# What two runs that do the same differ in: how long things took, when, and where.
CLOCK_AND_PLACE = {
    "seconds",
    "selection_seconds",
    "embedding_seconds",
    "index_seconds",
    "examples_per_second",
    "created",
    "release",
    "report",
}


def _run(job: str, *flags) -> subprocess.CompletedProcess:
    """Runs a job in a process of its own, for how that ends is part of what is tested."""
    return subprocess.run(
        [sys.executable, "-m", f"pipelines.{job}", *map(str, flags)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def _upload(folder: pathlib.Path, url: str) -> None:
    for name in storage.files_below(str(folder)):
        storage.copy(f"{folder}/{name}", f"{url}/{name}")


def _content(root: str, *kinds: str) -> dict[str, bytes]:
    contents = {}
    for kind in kinds:
        for name in storage.files_below(f"{root}/{kind}"):
            with storage.open_input(f"{root}/{kind}/{name}") as file:
                contents[f"{kind}/{name}"] = file.read()
    return contents


def _measured(root: str) -> dict[str, dict]:
    """Returns all metrics, without times and places."""

    def without(value):
        if isinstance(value, dict):
            return {k: without(v) for k, v in value.items() if k not in CLOCK_AND_PLACE}
        return [without(one) for one in value] if isinstance(value, list) else value

    return {name: without(json.loads(text)) for name, text in _content(root, "metrics").items()}


@pytest.fixture(scope="module")
def stored(finished_site, s3_server, days):
    """The URL of a bucket in which the first three days were run, and that run."""
    url = s3_server.make_bucket()
    _upload(finished_site.source, f"{url}/logs")
    run = _run(
        "run_daily",
        f"--config={finished_site.config}",
        f"--workdir={url}/work",
        f"--source={url}/logs",
        f"--start={days[0]}",
        f"--end={days[2]}",
    )
    return url, run


@pytest.fixture
def on_store(stored, finished_site, job):
    """Runs a job in this process, with the work directory in the store."""
    url, _ = stored
    return lambda name, *flags: job(
        name, f"--config={finished_site.config}", f"--workdir={url}/work", *flags
    )


def test_a_run_in_a_store_ends_well_and_names_what_it_made(stored, days):
    url, run = stored
    assert run.returncode == 0, run.stderr
    assert f"release: {url}/work/releases/site/2024030300" in run.stdout
    assert f"report:  {url}/work/reports/dt={days[2]}.html" in run.stdout
    assert storage.exists(f"{url}/work/reports/dt={days[2]}.html")
    assert "pure virtual method" not in run.stderr
    assert "Traceback" not in run.stderr
    assert "credentials" not in run.stderr


def test_a_run_in_a_store_makes_what_a_run_on_a_disk_makes(stored, finished_site):
    url, _ = stored
    kinds = (*BUILT, "embeddings", "checkpoints")
    local = _content(str(finished_site.workdir), *kinds)
    assert {name.partition("/")[0] for name in local} == set(kinds)
    assert _content(f"{url}/work", *kinds) == local
    assert _measured(f"{url}/work") == _measured(str(finished_site.workdir))
    assert not [name for name in storage.files_below(f"{url}/work") if ".staging" in name]


def test_credentials_are_in_no_file_and_no_line(stored, s3_server):
    url, run = stored
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        secret = s3_server.environment[name]
        assert secret not in run.stdout + run.stderr
        assert not [
            path for path, content in _content(url, "work").items() if secret.encode() in content
        ]


def test_a_second_run_of_a_day_that_is_done_does_nothing(stored, on_store, days):
    url, _ = stored
    before = _content(url, "work")
    run = on_store("run_daily", f"--source={url}/logs", f"--date={days[2]}")
    assert run.status == 0, run.err
    assert "nothing to do" in run.err
    assert _content(url, "work") == before


def test_a_user_of_the_store_gets_what_one_of_the_disk_gets(on_store, finished_site):
    run = on_store("recommend", "--user_id=u1", "--k=5")
    assert run.status == 0, run.err
    assert run.out == finished_site.run("recommend", "--user_id=u1", "--k=5").out
    assert len(run.out.splitlines()) == 5


def test_a_failure_after_tensorflow_used_the_store_still_has_its_own_status(stored, finished_site):
    url, _ = stored
    run = _run(
        "evaluate", f"--config={finished_site.config}", f"--workdir={url}/work", "--date=2024-03-05"
    )
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("error: there are no examples of 2024-03-05")


def test_a_release_in_the_store_is_refreshed_and_rolled_back(stored, on_store, finished_site, site):
    url, _ = stored
    lines = (finished_site.source / "items.jsonl").read_bytes().splitlines()
    upload = {"item_id": "new", "name": "New", "published": 1_600_000_000, "tags": [], "length": 9}
    later = site.write("later.jsonl", [*lines[1:], upload])
    storage.copy(str(later), f"{url}/later/items.jsonl")
    refreshed = on_store("refresh_index", f"--source={url}/later")
    assert refreshed.out.startswith("release: releases/site/2024030301\n"), refreshed.err
    answer = on_store("recommend", "--query={}", "--k=100").out
    assert {"i0", "i1", "new"} & set(answer.split()) == {"i1", "new"}
    rolled = on_store("releases", "--action=rollback")
    assert rolled.out == "current: 2024030302, a copy of 2024030300\n"
    of_both = [_content(f"{url}/work/releases/site", f"202403030{n}") for n in (0, 2)]
    first, copied = ({name[11:]: text for name, text in one.items()} for one in of_both)
    assert first.keys() == copied.keys()
    assert [name for name in first if first[name] != copied[name]] == ["release.json"]


@pytest.fixture(scope="module")
def broken(tmp_path_factory, make_site, days):
    """A site of which some records can't be used, and two days of which were built on the disk."""
    site = make_site(tmp_path_factory.mktemp("broken")).write_usual()
    for path in ("items.jsonl", "users.jsonl", f"events/{days[1]}.jsonl"):
        with open(site.source / path, "ab") as file:
            file.write(b"{broken\n")
    run = site.run("build_examples", f"--start={days[0]}", f"--end={days[1]}")
    assert run.status == 0, run.err
    assert len([name for name in site.files("rejected") if name.endswith(".jsonl")]) == 3
    return site


@pytest.mark.parametrize(
    ("source", "workdir", "workers"),
    [("store", "store", 2), ("store", "disk", 1), ("disk", "store", 1)],
)
def test_a_build_makes_the_same_files_wherever_it_reads_and_writes(
    broken, days, job, bucket, tmp_path, source, workdir, workers
):
    if source == "store":
        _upload(broken.source, f"{bucket}/logs")
    made = f"{bucket}/work" if workdir == "store" else str(tmp_path / "work")
    processes = ["--", "--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    run = job(
        "build_examples",
        f"--config={broken.config}",
        f"--source={bucket}/logs" if source == "store" else f"--source={broken.source}",
        f"--workdir={made}",
        f"--start={days[0]}",
        f"--end={days[1]}",
        *(processes if workers > 1 else []),
    )
    assert run.status == 0, run.err
    assert _content(made, *BUILT) == _content(str(broken.workdir), *BUILT)
    assert not [name for name in storage.files_below(made) if ".staging" in name]
