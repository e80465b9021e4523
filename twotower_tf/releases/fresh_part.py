"""What a release has beside its index, as files: read, changed, and written as a new version.

The index and all that is large stay the files of the release before, as hard links.
"""

import dataclasses
import os
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.indexing.candidates import item_hashes
from twotower_tf.indexing.candidates.item_hashes import FRESH_FILE, INDEXED_FILE, ItemHashes
from twotower_tf.releases.releases import RELEASE_FILE, Release
from twotower_tf.serving import self_test, variable_files
from twotower_tf.serving.fresh_items import fresh_values
from twotower_tf.serving.serving_description import (
    SERVING_FILE,
    features_of,
    read_serving,
    write_serving,
)
from twotower_tf.serving.stitching import FRESH
from twotower_tf.storage.id_lists import read_ids
from twotower_tf.storage.whole_files import link_file

# Releases are older than the work directory's withdrawals, and had their own.
_WITHDRAWN_FILE = os.path.join("assets.extra", "withdrawn.txt")


@dataclasses.dataclass(frozen=True)
class FreshPart:
    """What a release has beside its index.

    Attributes:
        items: The F fresh items.
        embeddings: float32 [F, d].
        removed: bool [N].
        rows: The items' features for ranking, see ``FreshItems.rows``; may be of more items.
    """

    items: ItemHashes
    embeddings: np.ndarray
    removed: np.ndarray
    rows: Sequence[np.ndarray] = ()

    @classmethod
    def of(cls, folder: str) -> "FreshPart":
        """Reads it from a release's folder; one that was never refreshed has nothing."""
        path = os.path.join(folder, FRESH_FILE)
        nothing = ItemHashes(pa.array([], pa.string()), np.zeros(0, np.uint64))
        values = variable_files.read_all(folder, FRESH)
        rows = sum(name.startswith("rows/") for name in values)
        return cls(
            item_hashes.read(path) if os.path.exists(path) else nothing,
            values["embeddings"],
            values["removed"],
            [values[f"rows/{number}"] for number in range(rows)],
        )

    def equals(self, other: "FreshPart") -> bool:
        """Says whether the same items can come, by the same features."""
        return (
            self.items.item_ids.equals(other.items.item_ids)
            and np.array_equal(self.items.hashes, other.items.hashes)
            and np.array_equal(self.removed, other.removed)
        )

    def without(self, indexed: pa.Array, item_ids: Collection[str]) -> "FreshPart":
        """Returns what is left when some items may not come.

        Args:
            indexed: The ids of the index, [N].
            item_ids: Those that may not; any number of them unknown.
        """
        named = pa.array(item_ids, pa.string())

        def is_named(ids: pa.Array) -> np.ndarray:
            return pc.is_in(ids, value_set=named).to_numpy(zero_copy_only=False)

        kept = np.flatnonzero(~is_named(self.items.item_ids))
        return FreshPart(
            ItemHashes(self.items.item_ids.take(kept), self.items.hashes[kept]),
            self.embeddings[kept],
            self.removed | is_named(indexed),
            # Found by an item's fingerprint: those of others do no harm.
            self.rows,
        )

    def write(self, release: Release, folder: str) -> None:
        """Writes the SavedModel of a release with this beside its index.

        Raises:
            JobError: If it can't be loaded, or gives no finite answer (``self_test``).
        """
        for path in _files(release.path):
            target = os.path.join(folder, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            link_file(os.path.join(release.path, path), target)
        item_ids = self.items.item_ids.to_numpy(zero_copy_only=False)
        values = fresh_values(item_ids, self.embeddings, self.removed, self.rows)
        variable_files.replace(release.path, folder, FRESH, values)
        serving = read_serving(release.path)
        serving = write_serving(
            folder,
            serving["index_kind"],
            serving["modules"],
            int((~self.removed).sum()) + len(item_ids),
            serving["default_k"],
            features_of(serving, "query"),
            features_of(serving, "candidate"),
            features_of(serving, "more"),
            features_of(serving, "ranking"),
        )
        item_hashes.write(os.path.join(folder, FRESH_FILE), self.items)
        # Loads what was written and asks it: a release that can't be loaded is not published.
        self_test.write(folder, serving, self_test.queries_of(release.path))


def indexed_items(folder: str) -> ItemHashes:
    """Returns the items of a release's index."""
    return item_hashes.read(os.path.join(folder, INDEXED_FILE))


def withdrawn_before(folder: str) -> list[str]:
    """Returns the ids that a release of an earlier version of this package withdrew by itself."""
    path = os.path.join(folder, _WITHDRAWN_FILE)
    return read_ids(path, "withdrawn items") if os.path.exists(path) else []


def _files(folder: str) -> Iterator[str]:
    """Yields the files that a refreshed release has in common with the one before."""
    written = {
        RELEASE_FILE,
        SERVING_FILE,
        FRESH_FILE,
        _WITHDRAWN_FILE,
        self_test.SELF_TEST_FILE,
        variable_files.INDEX_FILE,
    }
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.relpath(os.path.join(parent, name), folder)
            if path not in written and os.path.dirname(path) != variable_files.FOLDER:
                yield path
