"""Looks at a folder of files and writes a first configuration for them.

    python -m pipelines.init --source=DIR [--out=FILE]

It guesses which files hold the events, the items and the users, and which column is what, by
their names and by a sample of what they hold, and says what it is unsure of, here and in comments
of the YAML file. That is NAME.yaml in this folder, NAME the source's, unless --out says otherwise;
a file that is there is never overwritten. Nothing else is written, and nothing of the source.
"""

import os

from pipelines import command
from twotower_tf.errors import InputError


def _job(values, _) -> None:
    from twotower_tf.discovery.discover import discover
    from twotower_tf.discovery.proposal import model_name
    from twotower_tf.discovery.summary import summary
    from twotower_tf.discovery.writing import as_yaml, check_yaml, write_new

    out = values.out or f"{model_name(values.source)}.yaml"
    if os.path.lexists(out):
        raise InputError(f"--out={out}: the file is there already; name another one")
    proposal = discover(values.source)
    text = as_yaml(proposal, values.source)
    check_yaml(text, values.source)
    write_new(out, text)
    print(summary(proposal, values.source, out))


main = command.Command(__doc__, ["source", "out"], ["source"], _job)

if __name__ == "__main__":
    main.run()
