"""How much memory and disk a build and a training are expected to take, and how that is known."""

import dataclasses
import datetime
from collections.abc import Sequence

from twotower_tf.config import Config
from twotower_tf.inspection.examples_made import ExamplesMade
from twotower_tf.inspection.features import TableFacts
from twotower_tf.inspection.snapshots_read import ReadCatalogue

_FLOAT_BYTES = 4
# See ``examples.items.item_lookup``.
_ITEM_BYTES_OF_LOOKUP = 190


@dataclasses.dataclass(frozen=True)
class Expected:
    """An expectation.

    Attributes:
        what: Of what.
        bytes: How many.
        how: How that was reckoned.
    """

    what: str
    bytes: int
    how: str


def expected(
    config: Config,
    made: ExamplesMade | None,
    events: int,
    valid_share: float,
    days: Sequence[datetime.date] | None,
    newest: ReadCatalogue,
    tables: Sequence[TableFacts],
) -> list[Expected]:
    """Returns what a build and a training of all events are expected to take.

    Args:
        config: The deployment.
        made: What the sampled events would make.
        events: About how many events there are.
        valid_share: The share of them that is valid.
        days: The days of their files; None where no day divides them.
        newest: The newest catalogue.
        tables: The embedding tables.
    """
    found = []
    if made is not None and made.stored_bytes is not None:
        examples = round(events * valid_share * made.examples / max(1, made.events))
        found.append(
            Expected(
                "disk: examples",
                round(examples * made.stored_bytes),
                f"{examples:,} examples x {made.stored_bytes:.0f} bytes, compressed, as measured",
            )
        )
        found.append(_memory_of_build(config, made, round(events * valid_share), days, newest))
    items = newest.parsed.items.num_rows
    found.append(Expected("disk: a catalogue", newest.stored, f"{items:,} items, as written"))
    slots = getattr(config.optimizer, "slots", None)
    rows = sum((table.listed + table.buckets) * table.dim for table in tables)
    copies = 1 + (slots or 0)
    kept = "weights" if not slots else f"weights and {slots} of the optimiser's"
    found.append(
        Expected(
            "memory: tables in training",
            rows * _FLOAT_BYTES * copies,
            f"{rows:,} numbers (rows x dim of {len(tables)} tables) x 4 bytes x {copies} ({kept})",
        )
    )
    dimension = config.candidate.dimension
    found.append(
        Expected(
            "disk: items' vectors",
            items * dimension * _FLOAT_BYTES,
            f"{items:,} items x {dimension} numbers x 4 bytes, a day",
        )
    )
    return found


def _memory_of_build(
    config: Config,
    made: ExamplesMade,
    events: int,
    days: Sequence[datetime.date] | None,
    newest: ReadCatalogue,
) -> Expected:
    """Returns what a worker holds of a day: the catalogue and a shard's events."""
    shards, items = config.examples.shards, newest.parsed.items.num_rows
    # What no day divides may be built at once.
    together = events if not days else -(-events // len(days))
    of_items = items * _ITEM_BYTES_OF_LOOKUP + newest.parsed.items.nbytes
    of_events = round(together / shards * made.event_bytes)
    return Expected(
        "memory: a build's worker",
        of_items + of_events,
        f"{items:,} items, and {together // shards:,} events (a shard's of {shards}"
        f"{', a day' if days else ', all days'}) x {made.event_bytes:.0f} bytes, beside the "
        "libraries",
    )
