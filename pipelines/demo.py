"""Simulates a week of a video platform's logs, runs the daily job on them, shows what it gives.

    python -m pipelines.demo --workdir=DIR

All but the last day are caught up in one call, as a new deployment would; the last day is a daily
call of its own, as every night's is. Give an empty folder; a second call only shows the results.
"""

import os

from absl import logging

from pipelines import command
from pipelines.recommend import recommendation_lines
from twotower_tf.errors import InputError

# 30,000 impressions, beside 20,000 events.
_PAGES_PER_DAY = 2500
_CONFIG = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "configs")


def _job(values, _) -> None:
    if "://" in values.workdir:
        raise InputError(f"--workdir={values.workdir}: the demo runs in a folder of this machine")
    from twotower_tf.config_loader import load_config

    config = load_config(os.path.join(_CONFIG, "demo.yaml"), values.set)
    workdir = command.open_workdir(values, config, make=True)
    days, source = _simulate(workdir)

    from twotower_tf.daily import run_days
    from twotower_tf.evaluation.table import day_table

    for part in (days[:-1], days[-1:]):
        run = run_days(config, workdir, source, part)
    print("\n" + day_table(workdir, days))
    print(f"\nrelease: {run.release}")
    _show_recommendations(config, workdir)
    print(f"\nreport:  {run.report}")


def _simulate(workdir) -> tuple[list, str]:
    from twotower_tf.simulator.simulator import Simulator, SimulatorSettings

    simulator = Simulator(SimulatorSettings(pages_per_day=_PAGES_PER_DAY))
    source = workdir.path("logs")
    if not os.path.exists(source):
        logging.info("simulating the logs of %d days in %s", len(simulator.dates), source)
        simulator.write(source)
    return simulator.dates, source


def _show_recommendations(config, workdir) -> None:
    from twotower_tf.releases.recommendation import Recommender

    recommender = Recommender(config, workdir)
    for user_id in recommender.some_users(3):
        query = recommender.query_for_user(user_id)
        last = query["seed_item_id"]
        print(f"\nfor {user_id}, who last watched {recommender.titles([last]).get(last, last)}:")
        for line in recommendation_lines(recommender, query, 5):
            print(line)


main = command.Command(__doc__, ["workdir", "set"], ["workdir"], _job)

if __name__ == "__main__":
    main.run()
