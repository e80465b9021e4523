"""Simulates the logs of a video platform: events, catalogue and users, a folder a day.

    python -m pipelines.simulate_events --out=DIR --days=7

configs/demo.yaml reads what it writes, with what was shown to users, as impressions;
--pages_per_day=0 leaves these out. docs/simulator.md says what is in them.
"""

from pipelines import command


def _job(values, _) -> None:
    from twotower_tf.progress import progress
    from twotower_tf.simulator.simulator import Simulator

    settings = command.simulator_settings(values, command.SIMULATED)
    total = settings.days * settings.events_per_day
    with progress("simulating", total, "events") as shown:
        Simulator(settings).write(values.out, values.format, shown.advance)


main = command.Command(
    __doc__,
    ["out", "format", *command.SIMULATED],
    ["out"],
    _job,
)

if __name__ == "__main__":
    main.run()
