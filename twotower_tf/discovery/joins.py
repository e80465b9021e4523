"""Which columns name the rows of another table, by the values of two samples."""

import dataclasses

from twotower_tf.discovery.tables import Column, Table
from twotower_tf.discovery.words import tokens

_LEAST = 0.2


@dataclasses.dataclass(frozen=True)
class Join:
    """A column whose values are found in a column of another table.

    Attributes:
        table: The other table.
        key: Its column.
        share: About which share of the records find a row.
        used: Which share of the sampled rows are found.
        is_key: Whether each row of the other table has a value of its own.
    """

    table: Table
    key: Column
    share: float
    used: float
    is_key: bool

    @property
    def weight(self) -> float:
        """How much it says, from 0 to 1: small whole numbers are found in many a column."""
        return self.share * (0.5 + 0.5 * self.used) * (1.0 if self.is_key else 0.4)


def match_share(column: Column, table: Table, key: Column) -> tuple[float, float]:
    """Returns the shares of the records that find a row, and of the rows that are found.

    Where only a sample of the other table's rows is known, what finds none is scaled up.
    """
    there = key.counts
    found = sum(count for one, count in column.counts.items() if one in there)
    used = sum(one in column.counts for one in there)
    share = found / max(sum(column.counts.values()), 1)
    scaled = share / table.sample.share if key.is_key else share
    return min(1.0, scaled), used / max(len(there), 1)


def joins_of(column: Column, own: Table, tables: list[Table]) -> list[Join]:
    """Returns what a column may name the rows of, the likeliest first.

    Args:
        column: A column of ids.
        own: Its table.
        tables: All tables.
    """
    found = []
    for table in tables:
        if table is own:
            continue
        for key in table.columns.values():
            same_name = tokens(key.name) == tokens(column.name) and own.has_header
            if not key.may_be_id or not (key.is_key or same_name):
                continue
            share, used = match_share(column, table, key)
            if share >= _LEAST:
                found.append(Join(table, key, share, used, key.is_key))
    return sorted(found, key=lambda join: (-join.weight, join.table.name, join.key.name))
