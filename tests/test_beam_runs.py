"""Pipelines in this process: how their workers are started."""

import shlex
import sys

import pytest

from twotower_tf import beam_runs
from twotower_tf.errors import InputError

beam_runs.load_beam()

import apache_beam as beam  # noqa: E402
from apache_beam.portability import python_urns  # noqa: E402
from apache_beam.runners.portability.fn_api_runner import FnApiRunner  # noqa: E402


def _commands(monkeypatch, flags: list[str]) -> list[list[str]]:
    """Returns what the shell would make of the workers' commands, of a pipeline not run."""
    found = []

    def run_via_runner_api(self, pipeline_proto, options):
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                found.append(shlex.split(environment.payload.decode()))

        class Result:
            def wait_until_finish(self):
                return "DONE"

        return Result()

    monkeypatch.setattr(FnApiRunner, "run_via_runner_api", run_via_runner_api)
    with beam_runs.pipeline(flags) as pipeline:
        _ = pipeline | beam.Create([1]) | beam.Map(lambda one: one)
    return found


def test_workers_are_started_by_this_interpreter_whatever_its_folder_is_called(monkeypatch):
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    for path in (sys.executable, "/a folder/it's/bin/python"):
        monkeypatch.setattr(sys, "executable", path)
        commands = _commands(monkeypatch, flags)
        assert commands
        assert {command[0] for command in commands} == {path}
        assert {command[1] for command in commands} == {"-m"}


def test_without_worker_processes_none_is_started(monkeypatch):
    assert _commands(monkeypatch, []) == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--direct_num_worker=2"], "'--direct_num_worker=2' .* mean 'direct_num_workers'"),
        (["--direct-num-workers=2"], "mean 'direct_num_workers'"),
        (["--runner=PortableRunner", "--job_endpont=here:1"], "mean 'job_endpoint'"),
        (["direct_num_workers=2"], "--name=value"),
        (["--quite_something_else=1"], "is no option of Beam's"),
        (["--direct_num_workers=two"], "after --: .*direct_num_workers.*'two'"),
    ],
)
def test_an_option_that_beam_would_pass_over_is_refused_with_the_nearest(flags, said):
    with pytest.raises(InputError, match=said), beam_runs.pipeline(flags):
        raise AssertionError("the pipeline was made")


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--direct_running_mode", "multi_processing", "--direct_num_workers=2"],
        # Of a runner's own server, which Beam does not know before it asks.
        ["--runner=FlinkRunner", "--latencyTrackingInterval=5", "--fasterCopy", "true"],
    ],
)
def test_options_that_somebody_knows_pass(flags):
    beam_runs.check_options(flags)
