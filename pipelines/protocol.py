"""The evaluation of Yi et al. (2019, section 6.2) for several losses: which recalls best?

    python -m pipelines.protocol --out=DIR
    python -m pipelines.protocol --out=DIR --config=FILE --source=DIR --start=DAY --end=DAY

Catches up over the days given but the last 7 (15 in the paper, at least), day by day; then, for
each of these 7, trains on the day and measures recall of its held-out tenth. Every loss is trained
with every seed, all on the same examples; losses take the configuration's temperature.

Without --source it simulates 22 days of a video platform, and --config is configs/demo.yaml. Prints
a table, and writes protocol.json and protocol.html. It goes on where it stopped. Options after --
go to Beam, which builds the examples.
"""

import os

from pipelines import command
from twotower_tf.config.ranking import towers_alone
from twotower_tf.errors import InputError
from twotower_tf.studies.protocol_plan import CATCH_UP, MEASURED, check_days, with_losses

_CONFIG = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "configs")
_SIZES = ("seed", "users", "videos", "uploads_per_day", "events_per_day")


def _job(values, beam_args) -> None:
    if values.source and not values.config:
        raise InputError("--source needs its configuration: give --config too")
    values.config = values.config or os.path.join(_CONFIG, "demo.yaml")
    config, seeds = command.config_of(values), command.integers_of(values, "seeds")
    config = towers_alone(config)
    days = command.days_of(values) if values.source else None
    if days is not None:
        check_days(config, days)

    with_losses(config, values.losses)
    if days is None:
        days, source = _simulate(values)
    else:
        source = values.source

    from twotower_tf.studies.protocol_report import as_table, write_study
    from twotower_tf.studies.protocol_study import run_protocol

    study = run_protocol(config, source, values.out, days, values.losses, seeds, beam_args)
    report = write_study(study, values.out)
    print(f"{as_table(study)}\n\nreport: {report}")


def _simulate(values) -> tuple[list, str]:
    """Simulates the logs, unless a call before this one did; returns their days and folder."""
    if values.start or values.end:
        raise InputError("--start and --end are for a --source; without one 22 days are simulated")
    from twotower_tf import storage
    from twotower_tf.progress import progress
    from twotower_tf.simulator.simulator import Simulator

    days = CATCH_UP + MEASURED
    sizes = {name: values[name].value for name in _SIZES} | {"days": days}
    simulator = Simulator(command.simulator_settings(values, _SIZES, days=days))
    folder = os.path.join(values.out, "logs")
    # Written when all logs are there.
    path = os.path.join(folder, "settings.json")
    known = storage.read_json(path)
    if known is None:
        total = sizes["days"] * sizes["events_per_day"]
        with progress("simulating", total, "events") as shown:
            simulator.write(folder, progress=shown.advance)
        storage.write_json(path, sizes)
    elif known != sizes:
        differing = ", ".join(f"--{name}" for name in _SIZES if known[name] != sizes[name])
        raise InputError(f"{folder} was simulated with another {differing}; give a new --out")
    return simulator.dates, folder


main = command.Command(
    __doc__,
    ["out", "config", "set", "source", "start", "end", "losses", "seeds", *_SIZES],
    ["out"],
    _job,
    runs_beam=True,
)

if __name__ == "__main__":
    main.run()
