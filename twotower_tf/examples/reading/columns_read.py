"""Which columns the records of a log have: reported by those who read it, put together after."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from twotower_tf.config import Config
from twotower_tf.datasets.record_batches import RecordBatch
from twotower_tf.examples.outcome import Outcome, Report, count, names
from twotower_tf.examples.source_columns import ColumnsSeen, required_columns


def columns_read(
    batch: RecordBatch, days: np.ndarray, log: str, columns: Sequence[str]
) -> Iterator[Report]:
    """Reports in how many records of a batch each column is, by day.

    Nothing of files with a header.

    Args:
        batch: The records.
        days: The day of each; 0: passed over.
        log: ``events`` or ``searches``.
        columns: Those to look for.
    """
    telling = batch.says_columns()
    if telling is None:
        return
    telling = telling & (days > 0)
    distinct, places = np.unique(days[telling], return_inverse=True)
    records = np.bincount(places, minlength=len(distinct))
    lacks_one = np.zeros(len(distinct), bool)
    for column in columns:
        having = np.bincount(places, weights=batch.has(column)[telling], minlength=len(distinct))
        lacks_one |= having == 0
        for day, number in zip(distinct.tolist(), having.tolist(), strict=True):
            yield count(day, _with(log, column), number)
    for day, number, lacks in zip(distinct.tolist(), records.tolist(), lacks_one, strict=True):
        yield count(day, _records(log), number)
        if lacks:
            yield names(day, log, batch.names())


def columns_seen(outcome: Outcome, day: int, log: str, config: Config) -> ColumnsSeen:
    """Returns which columns the records of a day have, from what was reported."""
    having = {
        column: outcome.counts[day, _with(log, column)] for column in required_columns(config, log)
    }
    records = outcome.counts[day, _records(log)]
    return ColumnsSeen(records, Counter(having), outcome.names.get((day, log), set()))


def _with(log: str, column: str) -> str:
    return f"{log} with {column}"


def _records(log: str) -> str:
    return f"{log} without a header"
