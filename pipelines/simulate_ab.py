"""Compares systems in a closed loop: what each shows is what it learns from the next night.

    python -m pipelines.simulate_ab --arms=A.yaml,B.yaml --pages_per_day=2500 --out=DIR

The users of a simulated video platform are split by a hash, an arm a configuration. Each night each
arm runs its daily job on its own users' logs; the next day its release fills two thirds of their
pages, and they click and watch by their true tastes. The same configuration twice should show no
difference.

Configurations read the platform's logs as configs/demo.yaml does. Prints a table of each arm's
figures and the differences to the first arm, with 95 % confidence intervals, and writes
closed_loop.json and closed_loop.html. It goes on where it stopped; docs/simulator.md explains it.
"""

from pipelines import command
from twotower_tf.studies.closed_loop_plan import bind, check_sizes, read_arms


def _job(values, _) -> None:
    arms = read_arms(values.arms or [], values.set)
    sizes = {name: values[name].value for name in command.SIMULATED}
    check_sizes(sizes)
    settings = command.simulator_settings(values, command.SIMULATED)
    bind(values.out, arms, sizes)

    from twotower_tf.progress import progress
    from twotower_tf.studies.closed_loop import run_closed_loop
    from twotower_tf.studies.closed_loop_report import as_table, compare, write_comparison

    nights = (settings.days - 1) * len(arms)
    with progress("closed loop", nights, "nights") as shown:
        loop = run_closed_loop(arms, settings, values.out, shown.advance)
    found = compare(loop)
    report = write_comparison(found, values.out)
    print(f"{as_table(found)}\n\nreport: {report}")


main = command.Command(__doc__, ["arms", "out", "set", *command.SIMULATED], ["arms", "out"], _job)

if __name__ == "__main__":
    main.run()
