"""Lists, shows, checks, promotes, rolls back and prunes the releases of a model.

    python -m pipelines.releases --config=FILE --workdir=DIR
    python -m pipelines.releases --config=FILE --workdir=DIR --action=show --version=2026112000
    python -m pipelines.releases --config=FILE --workdir=DIR --action=check --version=2026112000
    python -m pipelines.releases --config=FILE --workdir=DIR --action=promote --version=2026112000
    python -m pipelines.releases --config=FILE --workdir=DIR --action=rollback
    python -m pipelines.releases --config=FILE --workdir=DIR --action=prune --keep=10
    python -m pipelines.releases --config=FILE --workdir=DIR --action=withdrawals

A check asks a release its own self-test again (status 1 if it answers otherwise than when it was
made). The current release is the largest version, the one TensorFlow Serving serves, and the one
that is shown and checked without --version. Promoting and rolling back publish an older release
again, under a new version and without the items that were withdrawn since (refresh_index
--withdrawn); --action=withdrawals lists these. Pruning also removes the embeddings of days that
have no release any more.
"""

import json
import os

from pipelines import command
from twotower_tf.errors import InputError, JobError


def _job(values, _) -> None:
    config = command.config_of(values)
    if values.action == "promote" and not values.version:
        raise InputError("--action=promote needs --version=YYYYMMDDnn")
    if values.version and values.action not in ("show", "check", "promote"):
        raise InputError(f"--action={values.action} takes no --version")
    workdir = command.open_workdir(values, config)
    _ACTIONS[values.action](workdir, config.name, values)


def _list(workdir, name: str, _) -> None:
    from twotower_tf.releases.release_changes import size_of
    from twotower_tf.releases.releases import list_releases, require_current

    newest = require_current(workdir, name)
    print("version     day         days  recall  items       MB  of")
    for release in list_releases(workdir, name):
        metrics = release.metadata["metrics"]
        recall = metrics["recall"]
        columns = [
            release.version,
            str(release.day),
            f"{len(release.metadata['days_trained']):>5}",
            "     -" if recall is None else f"{recall:>6.4f}",
            f"{release.read_serving()['items']:>9}",
            f"{size_of(release) / 1e6:>6.1f}",
            _origin(release),
            "current" if release.version == newest.version else "",
        ]
        print("  ".join(columns).rstrip())


def _origin(release) -> str:
    if release.origin != release.version:
        return f"copy of {release.origin}"
    refreshed = release.metadata.get("refreshed_from")
    return f"refresh of {refreshed}" if refreshed else "build"


def _named(workdir, name: str, values):
    """Returns the release that --version names, or the current one."""
    from twotower_tf.releases.release_changes import find_release
    from twotower_tf.releases.releases import require_current

    if values.version:
        return find_release(workdir, name, values.version)
    return require_current(workdir, name)


def _show(workdir, name: str, values) -> None:
    from twotower_tf.releases.model_card import CONFIGURATION_FILE
    from twotower_tf.releases.release_changes import size_of
    from twotower_tf.storage import read_json

    release = _named(workdir, name, values)
    shown = {
        **release.metadata,
        "path": release.path,
        "bytes": size_of(release),
        "serving": release.read_serving(),
        "configuration": read_json(os.path.join(release.path, CONFIGURATION_FILE)),
    }
    print(json.dumps(shown, indent=1, sort_keys=True))


def _check(workdir, name: str, values) -> None:
    from twotower_tf.serving.self_test import self_test
    from twotower_tf.storage import read_on_disk

    release = _named(workdir, name, values)
    with read_on_disk(release.path) as folder:
        failed = self_test(folder)
    if failed:
        raise JobError(f"release {release.version} fails its self-test: {'; '.join(failed)}")
    print(f"release {release.version} answers its self-test as when it was made")


def _promote(workdir, name: str, values) -> None:
    from twotower_tf.releases.release_changes import promote

    _say_current(promote(workdir, name, values.version))


def _roll_back(workdir, name: str, _) -> None:
    from twotower_tf.releases.release_changes import roll_back

    _say_current(roll_back(workdir, name))


def _prune(workdir, name: str, values) -> None:
    from twotower_tf.releases.release_changes import prune, prune_embeddings

    removed = prune(workdir, name, values.keep)
    removed += [f"embeddings/dt={day}" for day in prune_embeddings(workdir, name)]
    print(f"removed: {', '.join(removed) or 'nothing'}")


def _withdrawals(workdir, *_) -> None:
    from twotower_tf.indexing.candidates.withdrawals import read_withdrawals

    held = read_withdrawals(workdir)
    for one in held.values():
        print(f"{one.time}  {one.item_id}  {one.reason}".rstrip())
    print(f"{len(held):,} items withdrawn")


def _say_current(release) -> None:
    copied = "" if release.origin == release.version else f", a copy of {release.origin}"
    print(f"current: {release.version}{copied}")


_ACTIONS = {
    "list": _list,
    "show": _show,
    "check": _check,
    "promote": _promote,
    "rollback": _roll_back,
    "prune": _prune,
    "withdrawals": _withdrawals,
}

main = command.Command(
    __doc__,
    ["config", "set", "workdir", "action", "version", "keep"],
    ["config", "workdir"],
    _job,
)

if __name__ == "__main__":
    main.run()
