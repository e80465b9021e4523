"""What every job's command line shares: flags, ``--help``, one-line errors, exit status."""

import gc
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from logging import ERROR, Formatter, shutdown
from typing import NoReturn

# TensorFlow's messages about absent GPUs are no use to somebody who runs a job every night; what
# goes wrong comes as an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import flags, logging

from twotower_tf.config import Config
from twotower_tf.config.section import nearest
from twotower_tf.config_loader import load_config
from twotower_tf.errors import InputError, JobError

_LIBRARIES = re.compile(r"[/\\](tensorflow|tf_keras|apache_beam|matplotlib|botocore)[/\\]").search
_LONGEST_LINE = 2000
_STRINGS = {
    "config": "The YAML configuration.",
    "workdir": "The folder or s3:// URL for examples, checkpoints, metrics, reports and releases.",
    "source": "The folder or s3:// URL that paths below 'source' in the configuration start from.",
    "date": "The day, as YYYY-MM-DD.",
    "start": "The first day, as YYYY-MM-DD.",
    "end": "The last day, as YYYY-MM-DD.",
    "query": 'Raw query features as JSON, such as \'{"seed_item_id": "v17"}\'.',
    "user_id": "Recommend to this user, from the history in the work directory.",
    "out": "The folder to write to; of init the file.",
    "version": "A release, by its version as YYYYMMDDnn.",
    "withdrawn": "A file of item ids, one a line, that may not come any more.",
    "reason": "Why the items of --withdrawn may not come; kept with them.",
}
_INTEGERS = {
    "k": (10, "How many items to recommend."),
    "keep": (10, "How many releases stay, the newest ones."),
    "poll_seconds": (60, "How long --wait waits between two looks for the next day."),
    "sample": (100_000, "About how many records of each log to look at."),
    "seed": (17, "Of the simulation: the same seed gives the same result, byte for byte."),
    "steps": (20000, "How many steps to simulate: a multiple of 1000, at least 2000."),
    "days": (7, "How many days to simulate."),
    "users": (2000, "How many users to simulate."),
    "videos": (4000, "How many videos there are at the start."),
    "uploads_per_day": (100, "How many videos are uploaded each day."),
    "events_per_day": (20000, "How many events a day has, besides clicks on pages."),
    "pages_per_day": (2500, "How many pages of 12 items are shown each day; 0: no impressions."),
}
# Those that say how large a simulated platform is.
SIMULATED = (
    "seed",
    "days",
    "users",
    "videos",
    "uploads_per_day",
    "events_per_day",
    "pages_per_day",
)
_CHOICES = {
    "format": (["jsonl", "csv", "parquet"], "What the event files are."),
    "model": (
        ["both", "retrieval", "ranking"],
        "Which model; both: the second one as far as 'ranking' is configured.",
    ),
    "action": (
        ["list", "show", "check", "promote", "rollback", "prune", "withdrawals"],
        "What to do; show, check and promote take --version, prune takes --keep.",
    ),
}
_LISTS = {
    "set": "Overrides a key of the configuration: key.path=value, the value as in YAML.",
    "exclude": "The id of an item that may not come, such as one that the user has seen.",
}
_COMMA_LISTS = {
    "lift": ([], "Ids of withdrawn items that may come again, separated by commas."),
    "losses": (
        ["corrected_softmax", "plain_softmax", "mse_gramian"],
        "Kinds of loss, separated by commas; docs/losses.md has them all.",
    ),
    "arms": (
        [],
        "YAML configurations that are compared, separated by commas; the first is the base.",
    ),
    "seeds": (["17"], "Of the models, separated by commas: a run each."),
}
_SWITCHES = {
    "wait": "Go on with each new day as its examples appear, until interrupted.",
    "json": "Print JSON.",
}


class Command:
    """A job's command line.

    Args:
        documentation: Of the job's module: what ``--help`` says first.
        names: The flags it takes, of those defined above.
        required: Those of them that must be given.
        job: The work, given the parsed flags and the arguments after ``--``.
        runs_beam: Whether it takes arguments after ``--``, which are Beam's.
    """

    def __init__(
        self,
        documentation: str,
        names: Sequence[str],
        required: Sequence[str],
        job: Callable[[flags.FlagValues, list[str]], None],
        runs_beam: bool = False,
    ):
        self._documentation = documentation
        self._names = names
        self._required = required
        self._job = job
        self._runs_beam = runs_beam

    def __call__(self, argv: Sequence[str]) -> int:
        """Runs the job; returns 0: done, 1: it failed or a gate held, 2: bad flags or input."""
        if any(word in ("--help", "-help", "-h") for word in argv[1:]):
            print(self._documentation.strip(), "\n\n" + self._define().get_help())
            return 0
        given = self._define()
        try:
            rest = self._parse(given, argv)
            _log_to_stderr(given.verbosity)
            self._job(given, rest)
        except InputError as error:
            return _fail(error, 2, given)
        except JobError as error:
            return _fail(error, 1, given)
        except KeyboardInterrupt:
            return _fail(JobError("interrupted"), 1, given)
        except Exception as error:
            return _fail(JobError(f"{type(error).__name__}: {error}"), 1, given)
        return 0

    def run(self) -> NoReturn:
        """Runs the job as the arguments of this process say, and ends it with the job's status."""
        # Of what TensorFlow and Beam make, next to nothing is garbage: to look for it as often as
        # Python does takes a tenth of a small night.
        gc.set_threshold(50_000, 20, 100)
        status = self(sys.argv)
        if "tensorflow_io" in sys.modules:
            # Once it has used an object store, its clean-up aborts the process with status 134.
            shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        sys.exit(status)

    def _define(self) -> flags.FlagValues:
        values = flags.FlagValues()
        for name in self._names:
            if name in _STRINGS:
                flags.DEFINE_string(name, None, _STRINGS[name], flag_values=values)
            elif name in _INTEGERS:
                default, text = _INTEGERS[name]
                flags.DEFINE_integer(name, default, text, lower_bound=0, flag_values=values)
            elif name in _CHOICES:
                choices, text = _CHOICES[name]
                flags.DEFINE_enum(name, choices[0], choices, text, flag_values=values)
            elif name in _LISTS:
                flags.DEFINE_multi_string(name, [], _LISTS[name], flag_values=values)
            elif name in _COMMA_LISTS:
                default, text = _COMMA_LISTS[name]
                flags.DEFINE_list(name, default, text, flag_values=values)
            else:
                flags.DEFINE_bool(name, False, _SWITCHES[name], flag_values=values)
        text = "-1: warnings only; 0: progress too; 1: also the stack trace of an error."
        flags.DEFINE_integer("verbosity", 0, text, short_name="v", flag_values=values)
        return values

    def _parse(self, values: flags.FlagValues, argv: Sequence[str]) -> list[str]:
        ours, dashes, rest = list(argv), False, []
        if "--" in ours:
            position = ours.index("--")
            ours, dashes, rest = ours[:position], True, ours[position + 1 :]
        try:
            surplus = values(ours)[1:]
        except flags.UnrecognizedFlagError as error:
            hint = nearest(error.flagname, list(values))
            raise InputError(f"unknown flag --{error.flagname}{hint}") from error
        except flags.Error as error:
            raise InputError(str(error)) from error
        if surplus:
            raise InputError(f"unexpected argument '{surplus[0]}'; --help lists the flags")
        if dashes and not self._runs_beam:
            raise InputError("options after -- are Beam's, and this job runs no Beam pipeline")
        for name in self._required:
            if not values[name].value:
                raise InputError(f"--{name} is missing; --help lists the flags")
        if "out" in self._names and "://" in (values.out or ""):
            raise InputError(f"--out={values.out}: give a folder of this machine, not a URL")
        return rest


def config_of(values: flags.FlagValues) -> Config:
    """Reads the configuration that ``--config`` and ``--set`` name."""
    return load_config(values.config, values.set)


def days_of(values: flags.FlagValues) -> list:
    """Returns the days that ``--date``, or ``--start`` and ``--end``, name, oldest first."""
    from twotower_tf.storage import day_range, parse_day

    # A job of one day has no --start and no --end.
    date, first, last = (
        values[name].value if name in values else None for name in ("date", "start", "end")
    )
    if date and (first or last):
        raise InputError("give either --date, or --start and --end, not both")
    if date:
        return [parse_day(date, "--date")]
    if not (first and last):
        raise InputError("give --date=YYYY-MM-DD, or both --start and --end")
    start, end = parse_day(first, "--start"), parse_day(last, "--end")
    if end < start:
        raise InputError(f"--end={end} is before --start={start}")
    return day_range(start, end)


def models_of(values: flags.FlagValues, config: Config) -> list[str]:
    """Returns which models ``--model`` names: ``retrieval``, ``ranking``."""
    if config.ranking is None:
        if values.model == "ranking":
            raise InputError("--model=ranking: the configuration has no section ranking")
        return ["retrieval"]
    return ["retrieval", "ranking"] if values.model == "both" else [values.model]


def integers_of(values: flags.FlagValues, name: str) -> list[int]:
    """Returns the whole numbers that a flag lists, each once and in their order."""
    given = values[name].value
    if not given or not all(one.isascii() and one.isdecimal() for one in given):
        raise InputError(
            f"--{name}={','.join(given)}: give whole numbers from 0, separated by commas"
        )
    return list(dict.fromkeys(map(int, given)))


def simulator_settings(values: flags.FlagValues, names: Sequence[str], **fixed):
    """Returns the ``SimulatorSettings`` that some flags give, and what is fixed; see there."""
    from twotower_tf.simulator.settings import SimulatorSettings

    try:
        return SimulatorSettings(**{name: values[name].value for name in names}, **fixed)
    except ValueError as error:
        raise InputError(str(error)) from error


def open_workdir(values: flags.FlagValues, config: Config, make: bool = False):
    """Opens ``--workdir``, or makes it, and checks that it is this configuration's."""
    from twotower_tf.binding import bind
    from twotower_tf.storage import Workdir

    workdir = Workdir(values.workdir) if make else Workdir.existing(values.workdir)
    bind(workdir, config)
    return workdir


def _log_to_stderr(verbosity: int) -> None:
    """Writes our own log lines with their time; those of TensorFlow only if much is asked for."""
    # absl would otherwise warn that its own flags, which are not ours, were never parsed.
    flags.FLAGS.mark_as_parsed()
    flags.FLAGS.logtostderr = True
    logging.use_absl_handler()
    logging.set_verbosity(verbosity)
    handler = logging.get_absl_handler()
    handler.setFormatter(Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(
        lambda record: verbosity >= 1 or record.levelno >= ERROR or not _LIBRARIES(record.pathname)
    )


def _fail(error: Exception, status: int, values: flags.FlagValues) -> int:
    verbosity = values["verbosity"].value
    if verbosity >= 1:
        traceback.print_exception(error)
    line = " ".join(str(error).split())
    # What a file holds may be in it, and a line of a file may have megabytes.
    shown = line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} ..."
    print(f"error: {shown}", file=sys.stderr)
    return status
