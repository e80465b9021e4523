"""Publishes the current release anew with the items that were uploaded or withdrawn since.

    python -m pipelines.refresh_index --config=FILE --workdir=DIR --source=DIR

In seconds: the index is not rebuilt. New items, and those whose features changed, are searched
exactly beside it; items that the catalogue no longer has are left out, and so are those that were
withdrawn: of the file --withdrawn, and of files given before. They stay withdrawn for every release
of this work directory until --lift=ID names them; pipelines.releases --action=withdrawals lists
them. The catalogue is the newest snapshot below --source that is not after --date (today, if not
given); without --source the newest one in the work directory. If too much changed
(index.max_fresh_share), nothing is published: run build_index.
"""

import os

from pipelines import command
from twotower_tf.errors import InputError


def _job(values, _) -> None:
    config = command.config_of(values)
    from twotower_tf.examples.calendar import Calendar
    from twotower_tf.storage import parse_day
    from twotower_tf.storage.id_lists import read_ids

    workdir = command.open_workdir(values, config)
    day = parse_day(values.date, "--date") if values.date else Calendar.of(config).today()
    withdrawn = read_ids(values.withdrawn, "--withdrawn") if values.withdrawn else []
    if values.reason and not withdrawn:
        raise InputError("--reason needs --withdrawn=FILE, the items that it is of")
    from twotower_tf.indexing.candidates.withdrawals import lift, withdraw
    from twotower_tf.releases.newest_items import newest_items
    from twotower_tf.releases.refresh import adopt_withdrawals, refresh_release

    adopt_withdrawals(workdir, config.name)
    lift(workdir, values.lift)
    withdraw(workdir, withdrawn, values.reason or "")
    items = newest_items(config, workdir, values.source, day, withdrawn)
    done = refresh_release(config, workdir, items)
    if done.release is None:
        print("nothing to do: the current release has these items already")
        return
    print(f"release: {os.path.relpath(done.release.path, workdir.root)}")
    print(f"items:   {done.added:,} added, {done.removed:,} removed, {done.changed:,} changed")


main = command.Command(
    __doc__,
    ["config", "set", "workdir", "source", "date", "withdrawn", "reason", "lift"],
    ["config", "workdir"],
    _job,
)

if __name__ == "__main__":
    main.run()
