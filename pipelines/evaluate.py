"""Measures a day's held-out examples: of retrieval in the full catalogue, exactly, and of ranking.

    python -m pipelines.evaluate --config=FILE --workdir=DIR --date=DAY

The model is that of the newest checkpoint up to the day. If it was trained on the day this is the
protocol "after" training (the paper's); if not, "before" (what tomorrow will look like). With a
section ranking in the configuration it is both models', or that of --model.
"""

import json

from pipelines import command


def _job(values, _) -> None:
    config = command.config_of(values)
    days = command.days_of(values)
    models = command.models_of(values, config)
    from twotower_tf.evaluation.ranking.stage import RankingStage
    from twotower_tf.evaluation.retrieval_stage import RetrievalStage

    workdir, (day,) = command.open_workdir(values, config), days
    kinds = {"retrieval": RetrievalStage, "ranking": RankingStage}
    measured = {
        name: kinds[name](config, workdir, at_or_before=day).evaluate(day) for name in models
    }
    (one, *others) = measured.values()
    print(json.dumps(measured if others else one, indent=1))


main = command.Command(
    __doc__,
    ["config", "set", "workdir", "date", "model"],
    ["config", "workdir", "date"],
    _job,
)

if __name__ == "__main__":
    main.run()
