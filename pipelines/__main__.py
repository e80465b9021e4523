"""The jobs by name: ``python -m pipelines``, or the installed command ``twotower``, lists them.

    twotower run-daily --config=FILE --source=DIR --workdir=DIR --date=DAY

is ``python -m pipelines.run_daily`` with the same flags.
"""

import importlib
import pathlib
import pkgutil
import sys
from typing import NoReturn

from twotower_tf.config.section import nearest

_SHARED = ("__main__", "command")


def run_named() -> NoReturn:
    """Runs the job that the first argument names; without one lists all, with status 0."""
    jobs = names()
    given = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if given in ("--help", "-help", "-h"):
        print("\n".join(_listed(jobs)))
        sys.exit(0)
    name = given.replace("-", "_")
    if name not in jobs:
        print(f"error: there is no job '{given}'{nearest(name, jobs)}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"twotower {given}", *sys.argv[2:]]
    importlib.import_module(f"pipelines.{name}").main.run()


def names() -> list[str]:
    """Returns the names of the jobs' modules."""
    found = pkgutil.iter_modules([str(pathlib.Path(__file__).parent)])
    return sorted(one.name for one in found if one.name not in _SHARED)


def _listed(jobs: list[str]) -> list[str]:
    width = max(map(len, jobs))
    lines = ["python -m pipelines.JOB --flags, or twotower JOB --flags; each has --help:", ""]
    for name in jobs:
        documentation = importlib.import_module(f"pipelines.{name}").__doc__
        lines.append(f"  {name:<{width}}  {documentation.splitlines()[0]}")
    return lines


if __name__ == "__main__":
    run_named()
