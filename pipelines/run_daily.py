"""The daily job: examples, training, evaluation, index, gates, release.

    python -m pipelines.run_daily --config=FILE --source=DIR --workdir=DIR --date=DAY
    python -m pipelines.run_daily --config=FILE --source=DIR --workdir=DIR --start=DAY --end=DAY

It goes on where it stopped; for a day that is done it does nothing. A range is caught up oldest
day first, and the release is of its last day. A gate that fails publishes nothing (status 1).
Options after -- go to Beam, which builds the examples and embeds large catalogues.
"""

from pipelines import command


def _job(values, beam_args) -> None:
    config = command.config_of(values)
    days = command.days_of(values)
    from twotower_tf.daily import run_days
    from twotower_tf.evaluation.table import day_table

    workdir = command.open_workdir(values, config, make=True)
    run = run_days(config, workdir, values.source, days, beam_args)
    if run.trained:
        print(day_table(workdir, run.trained))
    if run.release:
        print(f"release: {run.release}")
    if run.report:
        print(f"report:  {run.report}")


main = command.Command(
    __doc__,
    ["config", "set", "workdir", "source", "date", "start", "end"],
    ["config", "workdir", "source"],
    _job,
    runs_beam=True,
)

if __name__ == "__main__":
    main.run()
