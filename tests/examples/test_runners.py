"""The build on other runners than Beam's in-process one: the same bytes, wherever workers are.

Every build is a process of its own that is started outside of the repository, and so are its
workers; none of them ever imports TensorFlow.
"""

import contextlib
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
import yaml

from twotower_tf.errors import JobError
from twotower_tf.examples.building.build import build_examples

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
SECONDS_PER_DAY = 86_400
KINDS = ("catalogue", "examples", "histories", "profiles", "rejected")
# Says who imported it.
POISON = """
import os, traceback
with open(os.path.join(os.path.dirname(__file__), "imported"), "a") as file:
    traceback.print_stack(file=file)
raise ImportError("no worker needs TensorFlow")
"""


def tree(root: pathlib.Path) -> dict[str, bytes]:
    """Returns all files of the partitions."""
    paths = (path for kind in KINDS for path in (root / kind).rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


class Cluster:
    """Programs outside of the repository that build a small source, and nothing of TensorFlow."""

    def __init__(self, deployment, days):
        self.root = deployment.root
        self.poison = self.root / "poison"
        self.poison.mkdir()
        (self.poison / "tensorflow.py").write_text(POISON)
        self.command = [
            *(sys.executable, "-m", "pipelines.build_examples"),
            f"--config={self.root / 'tiny.yaml'}",
            f"--source={deployment.source}",
            f"--workdir={self.root / 'work'}",
            f"--start={days[0]}",
            f"--end={days[-1]}",
        ]
        (self.root / "tiny.yaml").write_text(yaml.safe_dump(deployment.values))
        deployment.build(days, "expected")
        self._expected = tree(self.root / "expected")

    def environment(self, *python_path) -> dict[str, str]:
        """Returns the environment of a program that finds modules in these folders too."""
        path = os.pathsep.join(map(str, (self.poison, *python_path)))
        # Beam's worker pool starts "python".
        programs = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
        return {**os.environ, "PYTHONPATH": path, "PATH": programs}

    def build(self, *beam_args: str, repository: pathlib.Path = ROOT) -> None:
        """Builds, and checks that the outcome is that of the build in this process."""
        folder = self.root if repository == ROOT else repository
        command = [*self.command, "--", *beam_args]
        environment = self.environment(repository)
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert "Traceback" not in run.stderr
        # Of workers elsewhere no progress is known, rather than none made.
        assert "reading events" not in run.stderr
        built = tree(self.root / "work")
        assert built.keys() == self._expected.keys()
        assert [name for name in built if built[name] != self._expected[name]] == []
        imported = self.poison / "imported"
        assert not imported.exists(), imported.read_text()

    @contextlib.contextmanager
    def started(self, *command: str, ready, python_path=(), stop=signal.SIGTERM):
        """Runs a program in the block; waits until ``ready`` returns something, and gives that."""
        log = self.root / "program.log"
        environment = self.environment(*python_path)
        with log.open("w") as file:
            started = subprocess.Popen(
                [sys.executable, *command], cwd=self.root, env=environment, stdout=file, stderr=file
            )
        try:
            until = time.monotonic() + 120
            while not (found := ready()):
                assert started.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
            yield found
        finally:
            started.send_signal(stop)
            started.wait(60)

    def job_service(self, *command: str):
        """Runs a job service in the block; gives the options that send a pipeline to it."""
        port_file = self.root / "port"

        def ready() -> list[str]:
            if not port_file.exists():
                return []
            return ["--runner=PortableRunner", f"--job_endpoint=localhost:{port_file.read_text()}"]

        return self.started(*command, f"--port_file={port_file}", ready=ready)

    def worker_pool(self):
        """Runs Beam's worker pool in the block; gives its address."""
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]

        def ready() -> str | None:
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
                return f"localhost:{port}"
            return None

        command = ("-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}")
        return self.started(*command, ready=ready, python_path=(ROOT,), stop=signal.SIGINT)

    def boot(self) -> pathlib.Path:
        """Returns a program that starts a worker, called as runners call Beam's ``boot``."""
        boot = self.root / "boot"
        boot.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "worker_boot.py"}" "$@"\n')
        boot.chmod(0o755)
        return boot


@pytest.fixture
def cluster(deployment, make_event, days) -> Cluster:
    """A source with good and bad events on three days, built in this process."""
    rng = random.Random(5)
    days = days[:3]
    for number, day in enumerate(days):
        for name in ("a", "b"):
            log = [
                make_event(rng.randrange(9), rng.randrange(7), number * SECONDS_PER_DAY + second)
                for second in rng.sample(range(SECONDS_PER_DAY), 60)
            ]
            deployment.write_day(day, [*log, log[0], b"{"], name)
    deployment.values["examples"]["max_rejected_share"] = 0.5
    return Cluster(deployment, days)


def test_worker_processes_of_the_direct_runner_make_the_same_bytes(cluster):
    cluster.build("--direct_running_mode=multi_processing", "--direct_num_workers=2")


def test_workers_of_a_pool_behind_a_job_service_make_the_same_bytes(cluster):
    service = ("-m", "apache_beam.runners.portability.local_job_service_main")
    with cluster.worker_pool() as pool, cluster.job_service(*service) as options:
        cluster.build(*options, "--environment_type=EXTERNAL", f"--environment_config={pool}")


def test_worker_processes_behind_a_job_service_make_the_same_bytes(cluster):
    environment = {"PYTHONPATH": cluster.environment(ROOT)["PYTHONPATH"]}
    worker = json.dumps({"command": str(cluster.boot()), "env": environment})
    with cluster.job_service(str(HERE / "process_job_service.py")) as options:
        cluster.build(*options, "--environment_type=PROCESS", f"--environment_config={worker}")


def test_workers_that_install_what_setup_file_ships_make_the_same_bytes(cluster):
    clone = cluster.root / "clone"
    without = shutil.ignore_patterns("__pycache__")
    for name in ("twotower_tf", "pipelines"):
        shutil.copytree(ROOT / name, clone / name, ignore=without)
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, clone)
    package = clone / "twotower_tf" / "__init__.py"
    used = cluster.root / "used"
    note = f"\nwith open({str(used)!r}, 'a') as file:\n    print(__file__, file=file)\n"
    package.write_text(package.read_text() + note)
    worker = json.dumps({"command": str(cluster.boot())})
    environment = ["--environment_type=PROCESS", f"--environment_config={worker}"]
    with cluster.job_service(str(HERE / "process_job_service.py")) as options:
        cluster.build(*options, *environment, "--setup_file=./setup.py", repository=clone)
    folders = {pathlib.Path(path).parents[1].name for path in used.read_text().split()}
    assert folders == {"clone", "packages"}


def test_all_transforms_say_their_types_and_keep_to_them(deployment, make_event, days):
    deployment.write_day(days[0], [make_event(1, 1, 0), make_event(1, 2, 9), b"?"])
    config = deployment.config(max_rejected_share=0.5)
    checks = ["--type_check_strictness=ALL_REQUIRED", "--runtime_type_check"]
    workdir = deployment.workdir()
    counts = build_examples(config, workdir, str(deployment.source), days[:1], checks)
    assert counts[days[0]]["events"] == 3


def test_workers_that_leave_nothing_in_the_work_directory_are_an_error(
    deployment, make_event, days
):
    deployment.write_day(days[0], [make_event(1, 1, 0)])
    workdir = deployment.workdir()
    # It draws pipelines and runs none.
    options = ["--runner=apache_beam.runners.render.RenderRunner"]
    options.append(f"--render_output={deployment.root / 'pipeline.dot'}")
    with pytest.raises(JobError, match=r"left nothing in .*/build_examples/2024-03-01: "):
        build_examples(deployment.config(), workdir, str(deployment.source), days[:1], options)
    assert list(pathlib.Path(workdir.root).iterdir()) == []


def documented_options() -> list[list[str]]:
    """Returns the options for Beam of each command in the documentation."""
    page = (ROOT / "docs" / "runners.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    commands = blocks.replace("\\\n", " ").splitlines()
    return [shlex.split(line.split(" -- ")[1]) for line in commands if " -- " in line]


@pytest.mark.parametrize(
    "options", documented_options(), ids=lambda options: " ".join(options)[:60]
)
def test_beam_knows_every_option_that_the_documentation_names(options, caplog):
    from apache_beam.options.pipeline_options import PipelineOptions

    assert options
    names = {option.split("=")[0].removeprefix("--") for option in options}
    assert names <= PipelineOptions(options).get_all_options().keys()
    assert "unparseable" not in caplog.text


def test_the_documentation_has_commands_for_every_runner():
    text = " ".join(option for options in documented_options() for option in options)
    for runner in ("PortableRunner", "FlinkRunner", "SparkRunner", "DataflowRunner"):
        assert f"--runner={runner}" in text
