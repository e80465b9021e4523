"""Runs Beam pipelines: the runner by name, without noise."""

import argparse
import contextlib
import difflib
import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from twotower_tf.config.section import nearest
from twotower_tf.errors import InputError

if TYPE_CHECKING:
    import apache_beam as beam

# These ask a server of theirs for more options than Beam itself knows.
_ASKING = ("PortableRunner", "FlinkRunner", "SparkRunner")
_ALMOST_THE_SAME = 0.8


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

    Raises:
        InputError: See ``check_options``.
    """
    check_options(beam_args)
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    flags, runner = list(beam_args), None
    if not any(flag == "--runner" or flag.startswith("--runner=") for flag in flags):
        # Not the default runner, which may try to download the binary of another one.
        runner = _in_this_process()
    with beam.Pipeline(runner, options=PipelineOptions(flags)) as made:
        yield made


def check_options(beam_args: Sequence[str]) -> None:
    """Refuses options that Beam would pass over.

    Of a runner with a server, which may know more options than Beam does, only those are refused
    that are almost one of Beam's.

    Raises:
        InputError: Names the first one, and the nearest that there is.
    """
    load_beam()
    from apache_beam.options.pipeline_options import PipelineOptions

    # Options of a runner stand in its own module, and are known once that is loaded.
    from apache_beam.runners import render  # noqa: F401

    parser = _Options(allow_abbrev=False, add_help=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    known, unknown = parser.parse_known_args(list(beam_args))
    for option in unknown:
        name = option.removeprefix("--").partition("=")[0]
        if name != option and known.runner in _ASKING:
            if not difflib.get_close_matches(name, vars(known), cutoff=_ALMOST_THE_SAME):
                continue
        elif not option.startswith("-") and known.runner in _ASKING:
            continue  # The value of an option that the server may know.
        raise InputError(
            f"'{option}' after -- is no option of Beam's{nearest(name, vars(known))} "
            "(they are written --name=value)"
        )


class _Options(argparse.ArgumentParser):
    """A parser that raises where argparse would print its usage and end the process."""

    def error(self, message: str):
        raise InputError(f"after --: {message}")


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
