"""Simulates the logs of a video platform: events, catalogue and users, a folder a day.

    python -m pipelines.simulate_events --out=DIR --days=7

configs/demo.yaml reads what it writes.
"""

import sys

from pipelines import command


def _job(values, _) -> None:
    from twotower_tf.daily import simulate_events

    sizes = ("seed", "users", "videos", "uploads_per_day", "events_per_day", "days")
    simulate_events(values.out, values.format, {name: values[name].value for name in sizes})


main = command.Command(
    __doc__,
    ["out", "seed", "days", "users", "videos", "uploads_per_day", "events_per_day", "format"],
    ["out"],
    _job,
)

if __name__ == "__main__":
    sys.exit(main(sys.argv))
