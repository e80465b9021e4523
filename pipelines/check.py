"""Looks at a source as a build would, and says what it finds; writes nothing.

    python -m pipelines.check --config=FILE --source=DIR
    python -m pipelines.check --config=FILE --source=DIR --date=DAY

Of large logs a sample is read (--sample). The status is what a build would end with: 2, with the
same line, if it would refuse the source. --json prints the same as JSON.
"""

from pipelines import command
from twotower_tf.errors import InputError


def _job(values, _) -> None:
    config = command.config_of(values)
    days = command.days_of(values) if values.date else [None]
    from twotower_tf.inspection.printing import json_of, lines_of
    from twotower_tf.inspection.source_check import check_source

    findings = check_source(config, values.source, days[0], values.sample)
    if values.json:
        print(json_of(findings))
    elif findings.parts:
        print("\n".join(lines_of(findings)))
    if findings.refusal is not None:
        raise InputError(findings.refusal)


main = command.Command(
    __doc__,
    ["config", "set", "source", "date", "sample", "json"],
    ["config", "source"],
    _job,
)

if __name__ == "__main__":
    main.run()
