"""Trains on each day of examples once, oldest first, where the last checkpoint left off.

    python -m pipelines.train --config=FILE --workdir=DIR --start=DAY --end=DAY
    python -m pipelines.train --config=FILE --workdir=DIR --wait

With --wait it goes on with each new day as its examples appear.
"""

from absl import logging

from pipelines import command
from twotower_tf.errors import InputError


def _job(values, _) -> None:
    config = command.config_of(values)
    if values.wait == bool(values.date or values.start or values.end):
        raise InputError("give either the days (--date, or --start and --end) or --wait")
    days = None if values.wait else command.days_of(values)
    from twotower_tf.evaluation.protocol import recall_of
    from twotower_tf.training.sequence import follow_days, train_days

    workdir = command.open_workdir(values, config)
    if days is None:
        trained = follow_days(config, workdir, values.poll_seconds, recall_of)
    else:
        trained = train_days(config, workdir, days, recall_of)
    for day, metrics in trained:
        if metrics["examples"]:
            logging.info(
                "%s: %s examples, loss %.4f, %.1f s",
                day,
                f"{metrics['examples']:,}",
                metrics["loss"],
                metrics["seconds"],
            )
        else:
            logging.info("%s: no examples", day)


main = command.Command(
    __doc__,
    ["config", "set", "workdir", "date", "start", "end", "wait", "poll_seconds"],
    ["config", "workdir"],
    _job,
)

if __name__ == "__main__":
    main.run()
