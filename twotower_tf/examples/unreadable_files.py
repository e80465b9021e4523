"""Files of the source that can't be read, or not to their end.

Nobody knows how many records are lost with one, so it is never counted as one record that was
rejected: it is an error, or all its bytes count against ``examples.max_rejected_share``
(``examples.unreadable_files``).
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping

from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.record_batches import RecordBatch
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.errors import InputError


class UnreadableFiles:
    """Looks at what is read of files for what can't be.

    Args:
        config: Says what is to become of such files.
        root: The source folder.

    Attributes:
        reasons: Why, by the path of each file that was found.
    """

    def __init__(self, config: Config, root: str):
        self._are_errors = config.examples.unreadable_files == "error"
        self._root = root
        self.reasons: dict[str, str] = {}

    def records(
        self, file: SourceFile, read: Iterable[tuple[int, dict | Unreadable]]
    ) -> Iterator[tuple[int, dict | Unreadable]]:
        """Passes on the numbered records of a file.

        Raises:
            InputError: If the file can't be read, or no record of it, and that is an error.
        """
        first = None
        any_readable = False  # Or it is known already that something can't be.
        for number, record in read:
            if not isinstance(record, Unreadable):
                any_readable = True
            elif record.of_file:
                self._note(file, record.reason)
                any_readable = True
            else:
                first = first or (number, record)
            yield number, record
        if not any_readable and first is not None:
            self._note_all(file, *first)

    def batches(self, split: SourceSplit, read: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
        """Passes on the batches of a part of a file; see ``records``.

        Whether any record of it can be read is asked of a file's first part alone.
        """
        first = None
        any_readable = split.start > 0
        for batch in read:
            if batch.damage is not None:
                self._note(split.file, batch.damage.reason)
                any_readable = True
            rows = iter(range(len(batch)))
            while not any_readable and (row := next(rows, None)) is not None:
                record = batch.record(row)
                any_readable = not isinstance(record, Unreadable)
                first = first or (batch.number(row), record)
            yield batch
        if not any_readable and first is not None:
            self._note_all(split.file, *first)

    def _note_all(self, file: SourceFile, number: int, record: Unreadable) -> None:
        self._note(file, f"not one record can be read, the first, line {number}: {record.reason}")

    def _note(self, file: SourceFile, reason: str) -> None:
        if self._are_errors:
            raise InputError(error(file, reason))
        self.reasons.setdefault(os.path.relpath(file.path, self._root), reason)


def error(file: SourceFile, reason: str) -> str:
    """Words that a file can't be read."""
    return (
        f"{file.path} can't be read: {reason}; mend or remove it, or let its bytes count as "
        "rejected with examples.unreadable_files: reject"
    )


def check_share(
    config: Config,
    what: str,
    root: str,
    unreadable: Mapping[str, str],
    files: Collection[SourceFile],
) -> None:
    """Checks that not too many bytes are of files that can't be read.

    Args:
        config: Has the limit.
        what: What the files hold, such as ``events of 2024-01-01``.
        root: The source folder.
        unreadable: Why, by the path below it.
        files: All files.

    Raises:
        InputError: If it is a larger share than ``examples.max_rejected_share``.
    """
    if not unreadable:
        return
    sizes = {os.path.relpath(file.path, root): storage.size(file.path) for file in files}
    lost, total = sum(sizes[path] for path in unreadable), sum(sizes.values())
    most = config.examples.max_rejected_share
    if lost > most * total:
        path, reason = min(unreadable.items())
        raise InputError(
            f"{len(unreadable)} of {len(sizes)} files of {what} can't be read, {lost:,} of "
            f"{total:,} bytes ({lost / total:.1%}), more than examples.max_rejected_share={most:g} "
            f"allows; {path}: {reason}"
        )
