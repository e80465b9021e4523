"""Runs Beam pipelines: the runner by name, without noise."""

import contextlib
import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import apache_beam as beam


def load_beam() -> None:
    """Imports apache_beam, which only a job that needs it should wait for.

    It complains about Google Cloud's clients when it is loaded; nobody asked for them.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        import apache_beam  # noqa: F401
    finally:
        logging.disable(before)


@contextlib.contextmanager
def pipeline(beam_args: Sequence[str] = ()) -> Iterator["beam.Pipeline"]:
    """Gives a pipeline to apply transforms to; runs it to its end when the block ends.

    Args:
        beam_args: Beam's own flags; without ``--runner`` the pipeline runs in this process.
    """
    load_beam()
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    flags, runner = list(beam_args), None
    if not any(flag == "--runner" or flag.startswith("--runner=") for flag in flags):
        # Not the default runner, which may try to download the binary of another one.
        runner = _in_this_process()
    with beam.Pipeline(runner, options=PipelineOptions(flags)) as made:
        yield made


def _in_this_process() -> "beam.runners.PipelineRunner":
    """Returns Beam's runner in this process, whose worker processes start in any folder.

    Beam gives the shell the interpreter's path as it is: in a folder whose name has a space no
    worker starts, and the pipeline waits for it forever.
    """
    from apache_beam.portability import python_urns
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    class Runner(FnApiRunner):
        def run_via_runner_api(self, pipeline_proto, options):
            for environment in pipeline_proto.components.environments.values():
                if environment.urn == python_urns.SUBPROCESS_SDK:
                    _, command = environment.payload.decode().split(sys.executable, 1)
                    environment.payload = f"{shlex.quote(sys.executable)}{command}".encode()
            return super().run_via_runner_api(pipeline_proto, options)

    return Runner()
