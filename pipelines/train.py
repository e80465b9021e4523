"""Trains on each day of examples once, oldest first, where the last checkpoint left off.

    python -m pipelines.train --config=FILE --workdir=DIR --start=DAY --end=DAY
    python -m pipelines.train --config=FILE --workdir=DIR --wait

With --wait it goes on with each new day as its examples appear. With a section ranking in the
configuration it trains both models, or the one of --model.
"""

from absl import logging

from pipelines import command
from twotower_tf.errors import InputError


def _job(values, _) -> None:
    config = command.config_of(values)
    if values.wait == bool(values.date or values.start or values.end):
        raise InputError("give either the days (--date, or --start and --end) or --wait")
    days = None if values.wait else command.days_of(values)
    models = command.models_of(values, config)
    from twotower_tf.evaluation.protocol import recall_of
    from twotower_tf.training.ranking_trainer import RankingTrainer
    from twotower_tf.training.sequence import follow_days, train_days
    from twotower_tf.training.trainer import Trainer

    workdir = command.open_workdir(values, config)
    kinds = {"retrieval": (Trainer, recall_of), "ranking": (RankingTrainer, None)}
    chosen = [kinds[name] for name in models]
    if days is None:
        followers = [(kind(config, workdir), measure) for kind, measure in chosen]
        for trainer, day, metrics in follow_days(followers, values.poll_seconds):
            _log(trainer, day, metrics)
        return
    for kind, measure in chosen:
        for day, metrics in train_days(config, workdir, days, measure, kind):
            _log(kind, day, metrics)


def _log(trainer, day, metrics: dict) -> None:
    what = "" if trainer.job == "train" else f"{trainer.job}: "
    if metrics["examples"]:
        logging.info(
            "%s%s: %s examples, loss %.4f, %.1f s",
            what,
            day,
            f"{metrics['examples']:,}",
            metrics["loss"],
            metrics["seconds"],
        )
    else:
        logging.info("%s%s: no examples", what, day)


main = command.Command(
    __doc__,
    ["config", "set", "workdir", "date", "start", "end", "wait", "poll_seconds", "model"],
    ["config", "workdir"],
    _job,
)

if __name__ == "__main__":
    main.run()
