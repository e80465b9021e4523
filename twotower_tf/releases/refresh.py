"""Fresh items: a new version of the current release with what the catalogue became since.

The index stays as it is. Items that it lacks, or that have other features now, are embedded with
the release's own ``embed_item`` and go into the small exact segment beside it (``fresh_items``);
items that are gone are marked as removed. All of it is worked out anew from the catalogue each
time, so that a refresh of a refreshed release is the same as one of the release that was built.
"""

import dataclasses
import os
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from absl import logging

from twotower_tf.config import Config
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.schema import raw_features
from twotower_tf.indexing.candidates import item_hashes
from twotower_tf.indexing.candidates.item_hashes import FRESH_FILE, INDEXED_FILE, ItemHashes
from twotower_tf.models.inference import as_tensors, check_finite
from twotower_tf.models.item_features import table_of
from twotower_tf.releases.releases import (
    RELEASE_FILE,
    Release,
    current,
    publish,
    require_current,
)
from twotower_tf.serving import self_test, variable_files
from twotower_tf.serving.asking import feature_rows
from twotower_tf.serving.fresh_items import fresh_values
from twotower_tf.serving.serving_description import (
    SERVING_FILE,
    features_of,
    write_serving,
)
from twotower_tf.serving.stitching import FRESH
from twotower_tf.storage import Workdir, read_on_disk
from twotower_tf.storage.id_lists import read_ids, unknown_ids
from twotower_tf.storage.whole_files import link_file

WITHDRAWN_FILE = os.path.join("assets.extra", "withdrawn.txt")


@dataclasses.dataclass(frozen=True)
class Refreshed:
    """What a refresh did.

    Attributes:
        release: The new release; None if nothing had changed.
        added: Items that can come now and could not before.
        removed: Items that could come before and can't now.
        changed: Items whose features are others than before.
    """

    release: Release | None
    added: int
    removed: int
    changed: int


@dataclasses.dataclass(frozen=True)
class _Fresh:
    """What a release has beside its index.

    Attributes:
        items: The F fresh items.
        embeddings: float32 [F, d].
        removed: bool [N].
        withdrawn: Ids, ascending.
        rows: The items' features for ranking, see ``FreshItems.rows``; none without.
    """

    items: ItemHashes
    embeddings: np.ndarray
    removed: np.ndarray
    withdrawn: list[str]
    rows: Sequence[np.ndarray] = ()

    @classmethod
    def of(cls, folder: str) -> "_Fresh":
        """Reads it from a release's folder; one that was never refreshed has nothing."""
        path = os.path.join(folder, WITHDRAWN_FILE)
        items = ItemHashes(pa.array([], pa.string()), np.zeros(0, np.uint64))
        refreshed = os.path.exists(path)
        return cls(
            item_hashes.read(os.path.join(folder, FRESH_FILE)) if refreshed else items,
            variable_files.read(folder, FRESH, "embeddings"),
            variable_files.read(folder, FRESH, "removed"),
            read_ids(path, "withdrawn items") if refreshed else [],
        )

    def equals(self, other: "_Fresh") -> bool:
        return (
            self.items.item_ids.equals(other.items.item_ids)
            and np.array_equal(self.items.hashes, other.items.hashes)
            and np.array_equal(self.removed, other.removed)
            and self.withdrawn == other.withdrawn
        )


def refresh_release(
    config: Config,
    workdir: Workdir,
    catalogue: Catalogue,
    withdrawn: Collection[str] = (),
) -> Refreshed:
    """Publishes the current release anew with the catalogue's new, changed and withdrawn items.

    Nothing is published if nothing changed.

    Args:
        config: Names the model; says how much may change.
        workdir: Has the release.
        catalogue: The items that may be recommended now.
        withdrawn: Ids of items that may not come whatever the catalogue says. They are kept in the
            release and hold for its refreshes too, up to the next build of the index.

    Raises:
        InputError: If nothing was released yet, or its features are not the configuration's.
        JobError: If more than ``index.max_fresh_share`` of the items changed, an embedding is not
            finite, or another release was published meanwhile.
    """
    release = require_current(workdir, config.name)
    with read_on_disk(release.path) as folder:
        local = dataclasses.replace(release, path=folder)
        return _refresh(config, workdir, local, catalogue, withdrawn)


def _refresh(
    config: Config,
    workdir: Workdir,
    release: Release,
    catalogue: Catalogue,
    withdrawn: Collection[str],
) -> Refreshed:
    """Does it, given the current release, or a download of it."""
    _check_features(release, config)
    built = item_hashes.read(os.path.join(release.path, INDEXED_FILE))
    before = _Fresh.of(release.path)
    _warn_of_unknown(sorted(withdrawn), built, catalogue)
    withdrawn = sorted({*before.withdrawn, *withdrawn})
    fresh, removed = _compare(built, catalogue, withdrawn)
    _check_share(config, len(removed), len(fresh), int(removed.sum()))
    ids = pa.array(fresh.item_ids, pa.string())
    hashed = ItemHashes(ids, item_hashes.item_hashes(fresh))
    batch_size = config.evaluation.batch_size
    loaded = release.load_saved_model()
    embeddings = _embed(loaded, fresh, hashed, before, batch_size)
    after = _Fresh(hashed, embeddings, removed, withdrawn)
    if after.equals(before):
        return Refreshed(None, 0, 0, 0)
    serving = release.read_serving()
    if features_of(serving, "ranking"):
        after = dataclasses.replace(after, rows=_rows(loaded, serving, fresh, batch_size))
    counts = _difference(built, before, after)
    metadata = {
        **{key: said for key, said in release.metadata.items() if key != "republished_from"},
        "refreshed_from": release.version,
        "refresh": {**counts, "fresh": len(fresh), "withdrawn": len(withdrawn)},
    }

    def save(folder: str) -> None:
        _write(release, folder, after)
        if current(workdir, config.name) != release:
            raise JobError(
                f"a release was published while {release.version} was being refreshed: try again"
            )

    published = publish(workdir, config.name, release.day, save, metadata)
    return Refreshed(published, **counts)


def _warn_of_unknown(withdrawn: list[str], built: ItemHashes, catalogue: Catalogue) -> None:
    ids = pa.array(withdrawn, pa.string())
    known = pc.or_(
        pc.is_in(ids, value_set=built.item_ids),
        pc.is_in(ids, value_set=pa.array(catalogue.item_ids, pa.string())),
    ).to_pylist()
    if said := unknown_ids(withdrawn, known, "withdrawn items", "neither catalogue nor index"):
        logging.warning("%s", said)


def _check_features(release: Release, config: Config) -> None:
    if features_of(release.read_serving(), "candidate") != raw_features(config, "candidate"):
        raise InputError(
            f"release {release.path} was built with other candidate features than the "
            "configuration has now: use that configuration, or build the index anew"
        )


def _compare(
    built: ItemHashes, catalogue: Catalogue, withdrawn: list[str]
) -> tuple[Catalogue, np.ndarray]:
    """Returns the items that the index lacks or has otherwise, and which of its own must go."""
    ids = pa.array(catalogue.item_ids, pa.string())
    positions = pc.fill_null(pc.index_in(ids, value_set=built.item_ids), -1).to_numpy()
    known = positions >= 0
    same = known.copy()
    same[known] = built.hashes[positions[known]] == item_hashes.item_hashes(catalogue)[known]
    kept = ~pc.is_in(ids, value_set=pa.array(withdrawn, pa.string())).to_numpy(zero_copy_only=False)
    removed = np.ones(len(built.hashes), bool)
    removed[positions[same & kept]] = False
    return catalogue.take(np.flatnonzero(~same & kept)), removed


def _check_share(config: Config, items: int, fresh: int, removed: int) -> None:
    share = config.index.max_fresh_share
    if max(fresh, removed) > share * items:
        raise JobError(
            f"too much changed for a refresh: of the {items:,} items of the index {removed:,} "
            f"would go, {fresh:,} would come, and index.max_fresh_share {share:g} allows "
            f"{int(share * items):,} of each; check the catalogue, or run build_index"
        )


def _embed(
    loaded, items: Catalogue, hashed: ItemHashes, before: _Fresh, batch_size: int
) -> np.ndarray:
    """Returns the vectors of the fresh items; those that the release has are not made again."""
    old = pc.index_in(hashed.item_ids, value_set=before.items.item_ids)
    old = pc.fill_null(old, -1).to_numpy()
    kept = old >= 0
    kept[kept] = before.items.hashes[old[kept]] == hashed.hashes[kept]
    embeddings = np.empty((len(items), before.embeddings.shape[1]), np.float32)
    embeddings[kept] = before.embeddings[old[kept]]
    new = np.flatnonzero(~kept)
    for start in range(0, len(new), batch_size):
        rows = new[start : start + batch_size]
        made = loaded.embed_item(**_asked_with(items.take(rows)))
        embeddings[rows] = made["embedding"].numpy()
    check_finite(embeddings, items.item_ids)
    return embeddings


def _rows(loaded, serving: dict, items: Catalogue, batch_size: int) -> list[np.ndarray]:
    """Returns what ranking keeps of the fresh items, made by the release itself."""
    parts = [
        loaded.rows_of_items(**_asked_with(items.take(np.arange(start, end))))
        for start, end in pairwise([*range(0, len(items), batch_size), len(items)])
    ]
    empty = feature_rows([{}], features_of(serving, "candidate"))
    parts.append(loaded.rows_of_items(**empty))
    return [values.numpy() for values in table_of(items.item_ids, parts)]


def _asked_with(items: Catalogue) -> dict[str, tf.Tensor]:
    """Returns the features of items as a release takes them."""
    return {
        name: values.to_tensor() if isinstance(values, tf.RaggedTensor) else values
        for name, values in as_tensors(items).items()
    }


def _difference(built: ItemHashes, before: _Fresh, after: _Fresh) -> dict[str, int]:
    """Returns how many items were added, removed and changed."""
    old, new = _live(built, before), _live(built, after)
    return {
        "added": len(new.keys() - old.keys()),
        "removed": len(old.keys() - new.keys()),
        "changed": sum(old[item_id] != new[item_id] for item_id in old.keys() & new.keys()),
    }


def _live(built: ItemHashes, fresh: _Fresh) -> dict[str, int]:
    """Returns the hashes of all items that can come."""
    kept = np.flatnonzero(~fresh.removed)
    indexed = zip(built.item_ids.take(kept).to_pylist(), built.hashes[kept].tolist(), strict=True)
    own = zip(fresh.items.item_ids.to_pylist(), fresh.items.hashes.tolist(), strict=True)
    return {**dict(indexed), **dict(own)}


def _write(release: Release, folder: str, fresh: _Fresh) -> None:
    """Writes the refreshed SavedModel; what does not change is the old release's own files."""
    for path in _files(release.path):
        target = os.path.join(folder, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        link_file(os.path.join(release.path, path), target)
    item_ids = fresh.items.item_ids.to_numpy(zero_copy_only=False)
    values = fresh_values(item_ids, fresh.embeddings, fresh.removed, fresh.rows)
    variable_files.replace(release.path, folder, FRESH, values)
    serving = release.read_serving()
    serving = write_serving(
        folder,
        serving["index_kind"],
        serving["modules"],
        int((~fresh.removed).sum()) + len(item_ids),
        serving["default_k"],
        features_of(serving, "query"),
        features_of(serving, "candidate"),
        features_of(serving, "more"),
        features_of(serving, "ranking"),
    )
    item_hashes.write(os.path.join(folder, FRESH_FILE), fresh.items)
    with open(os.path.join(folder, WITHDRAWN_FILE), "w", encoding="utf-8") as file:
        file.writelines(f"{item_id}\n" for item_id in fresh.withdrawn)
    # Loads what was written and asks it: a release that can't be loaded is not published.
    self_test.write(folder, serving, self_test.queries_of(release.path))


def _files(folder: str) -> Iterator[str]:
    """Yields the files that a refreshed release has in common with the one before."""
    written = {
        RELEASE_FILE,
        SERVING_FILE,
        FRESH_FILE,
        WITHDRAWN_FILE,
        self_test.SELF_TEST_FILE,
        variable_files.INDEX_FILE,
    }
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.relpath(os.path.join(parent, name), folder)
            if path not in written and os.path.dirname(path) != variable_files.FOLDER:
                yield path
