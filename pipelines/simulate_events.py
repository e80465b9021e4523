"""Simulates the logs of a video platform: events, catalogue and users, a folder a day.

    python -m pipelines.simulate_events --out=DIR --days=7

configs/demo.yaml reads what it writes.
"""

from pipelines import command
from twotower_tf.errors import InputError


def _job(values, _) -> None:
    from twotower_tf.progress import progress
    from twotower_tf.simulator.simulator import Simulator, SimulatorSettings

    sizes = ("seed", "users", "videos", "uploads_per_day", "events_per_day", "days")
    try:
        settings = SimulatorSettings(**{name: values[name].value for name in sizes})
    except ValueError as error:
        raise InputError(str(error)) from error
    total = settings.days * settings.events_per_day
    with progress("simulating", total, "events") as shown:
        Simulator(settings).write(values.out, values.format, shown.advance)


main = command.Command(
    __doc__,
    ["out", "seed", "days", "users", "videos", "uploads_per_day", "events_per_day", "format"],
    ["out"],
    _job,
)

if __name__ == "__main__":
    main.run()
