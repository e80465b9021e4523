"""Fresh items: a new version of the current release with what the catalogue became since.

The index stays as it is. Items that it lacks, or that have other features now, are embedded with
the release's own ``embed_item`` and go into the small exact segment beside it (``fresh_items``);
items that are gone are marked as removed. All of it is worked out anew from the catalogue each
time, so that a refresh of a refreshed release is the same as one of the release that was built.
"""

import dataclasses
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf

from twotower_tf.config import Config
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples.items.catalogue_reader import Catalogue
from twotower_tf.examples.schema import raw_features
from twotower_tf.indexing.candidates import item_hashes, withdrawals
from twotower_tf.indexing.candidates.item_hashes import ItemHashes
from twotower_tf.models.inference import as_tensors, check_finite
from twotower_tf.models.item_features import table_of
from twotower_tf.releases.fresh_part import FreshPart, indexed_items, withdrawn_before
from twotower_tf.releases.releases import Release, current, publish, require_current
from twotower_tf.serving.asking import feature_rows
from twotower_tf.serving.serving_description import features_of
from twotower_tf.storage import Workdir, names, read_on_disk


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


def adopt_withdrawals(workdir: Workdir, model_name: str) -> None:
    """Makes what the current release withdrew by itself, as they once did, the work directory's.

    Raises:
        InputError: If nothing was released yet.
    """
    release = require_current(workdir, model_name)
    if names(workdir.path(withdrawals.KIND)):
        # It was done, or there was nothing: what was lifted since stays so.
        return
    with read_on_disk(release.path) as folder:
        withdrawals.withdraw(
            workdir, withdrawn_before(folder), f"withdrawn in release {release.version}"
        )


def refresh_release(
    config: Config,
    workdir: Workdir,
    catalogue: Catalogue,
) -> Refreshed:
    """Publishes the current release anew with the catalogue's new and changed items.

    Nothing is published if nothing changed.

    Args:
        config: Names the model; says how much may change.
        workdir: Has the release.
        catalogue: The items that may be recommended now (``newest_items``); all others go.

    Raises:
        InputError: If nothing was released yet, or its features are not the configuration's.
        JobError: If more than ``index.max_fresh_share`` of the items changed, an embedding is not
            finite, or another release was published meanwhile.
    """
    release = require_current(workdir, config.name)
    with read_on_disk(release.path) as folder:
        local = dataclasses.replace(release, path=folder)
        return _refresh(config, workdir, local, catalogue)


def _refresh(
    config: Config,
    workdir: Workdir,
    release: Release,
    catalogue: Catalogue,
) -> Refreshed:
    """Does it, given the current release, or a download of it."""
    _check_features(release, config)
    built = indexed_items(release.path)
    before = FreshPart.of(release.path)
    fresh, removed = _compare(built, catalogue)
    _check_share(config, len(removed), len(fresh), int(removed.sum()))
    ids = pa.array(fresh.item_ids, pa.string())
    hashed = ItemHashes(ids, item_hashes.item_hashes(fresh))
    batch_size = config.evaluation.batch_size
    loaded = release.load_saved_model()
    embeddings = _embed(loaded, fresh, hashed, before, batch_size)
    after = FreshPart(hashed, embeddings, removed)
    if after.equals(before):
        return Refreshed(None, 0, 0, 0)
    serving = release.read_serving()
    if features_of(serving, "ranking"):
        after = dataclasses.replace(after, rows=_rows(loaded, serving, fresh, batch_size))
    counts = _difference(built, before, after)
    metadata = {
        **{key: said for key, said in release.metadata.items() if key != "republished_from"},
        "refreshed_from": release.version,
        "refresh": {**counts, "fresh": len(fresh)},
    }

    def save(folder: str) -> None:
        after.write(release, folder)
        if current(workdir, config.name) != release:
            raise JobError(
                f"a release was published while {release.version} was being refreshed: try again"
            )

    published = publish(workdir, config.name, release.day, save, metadata)
    return Refreshed(published, **counts)


def _check_features(release: Release, config: Config) -> None:
    if features_of(release.read_serving(), "candidate") != raw_features(config, "candidate"):
        raise InputError(
            f"release {release.path} was built with other candidate features than the "
            "configuration has now: use that configuration, or build the index anew"
        )


def _compare(built: ItemHashes, catalogue: Catalogue) -> tuple[Catalogue, np.ndarray]:
    """Returns the items that the index lacks or has otherwise, and which of its own must go."""
    ids = pa.array(catalogue.item_ids, pa.string())
    positions = pc.fill_null(pc.index_in(ids, value_set=built.item_ids), -1).to_numpy()
    known = positions >= 0
    same = known.copy()
    same[known] = built.hashes[positions[known]] == item_hashes.item_hashes(catalogue)[known]
    removed = np.ones(len(built.hashes), bool)
    removed[positions[same]] = False
    return catalogue.take(np.flatnonzero(~same)), removed


def _check_share(config: Config, items: int, fresh: int, removed: int) -> None:
    share = config.index.max_fresh_share
    if max(fresh, removed) > share * items:
        raise JobError(
            f"too much changed for a refresh: of the {items:,} items of the index {removed:,} "
            f"would go, {fresh:,} would come, and index.max_fresh_share {share:g} allows "
            f"{int(share * items):,} of each; check the catalogue, or run build_index"
        )


def _embed(
    loaded, items: Catalogue, hashed: ItemHashes, before: FreshPart, batch_size: int
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


def _difference(built: ItemHashes, before: FreshPart, after: FreshPart) -> dict[str, int]:
    """Returns how many items were added, removed and changed."""
    old, new = _live(built, before), _live(built, after)
    return {
        "added": len(new.keys() - old.keys()),
        "removed": len(old.keys() - new.keys()),
        "changed": sum(old[item_id] != new[item_id] for item_id in old.keys() & new.keys()),
    }


def _live(built: ItemHashes, fresh: FreshPart) -> dict[str, int]:
    """Returns the hashes of all items that can come."""
    kept = np.flatnonzero(~fresh.removed)
    indexed = zip(built.item_ids.take(kept).to_pylist(), built.hashes[kept].tolist(), strict=True)
    own = zip(fresh.items.item_ids.to_pylist(), fresh.items.hashes.tolist(), strict=True)
    return {**dict(indexed), **dict(own)}
