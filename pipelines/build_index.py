"""Selects and embeds a day's items, indexes them, and publishes the release if the gates let it.

    python -m pipelines.build_index --config=FILE --workdir=DIR --date=DAY

The model is that of the day's checkpoint. A gate that fails publishes nothing (status 1).
Options after -- go to Beam, which then embeds catalogues of embedding.beam_from_items items or
more; without any, this process embeds the whole catalogue.
"""

from pipelines import command


def _job(values, beam_args) -> None:
    config = command.config_of(values)
    days = command.days_of(values)
    from twotower_tf.daily import release_day

    workdir = command.open_workdir(values, config)
    run = release_day(config, workdir, days[0], beam_args)
    print(f"release: {run.release}\nreport:  {run.report}")


main = command.Command(
    __doc__,
    ["config", "set", "workdir", "date"],
    ["config", "workdir", "date"],
    _job,
    runs_beam=True,
)

if __name__ == "__main__":
    main.run()
