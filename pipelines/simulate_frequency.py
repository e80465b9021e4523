"""The study of the frequency estimators: figures 4 and 5 of the paper, and new items.

    python -m pipelines.simulate_frequency --out=DIR

Writes study.json, alphas.png, hashes.png and new_items.png, and prints the summary;
docs/estimator.md explains it. The paper's parameters; --steps=2000 is a quick look.
"""

from pipelines import command
from twotower_tf.errors import InputError


def _job(values, _) -> None:
    from twotower_tf.progress import progress
    from twotower_tf.studies.frequency_report import as_table, write_study
    from twotower_tf.studies.frequency_study import planned_steps, run_study

    try:
        with progress("simulating", planned_steps(values.steps), "steps") as shown:
            study = run_study(values.steps, values.seed, shown.advance)
    except ValueError as error:
        raise InputError(f"--{error}") from error
    write_study(study, values.out)
    print(as_table(study))


main = command.Command(__doc__, ["out", "seed", "steps"], ["out"], _job)

if __name__ == "__main__":
    main.run()
