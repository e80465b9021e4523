"""What a check of a source found."""

import dataclasses
from collections import Counter
from collections.abc import Sequence

from twotower_tf.datasets.files import SourceFile
from twotower_tf.examples import rejects
from twotower_tf.examples.matches import Match
from twotower_tf.inspection.columns import Columns
from twotower_tf.inspection.examples_made import ExamplesMade
from twotower_tf.inspection.expected import Expected
from twotower_tf.inspection.features import FeatureFacts, TableFacts
from twotower_tf.inspection.sample import Sample, bytes_of
from twotower_tf.inspection.times import Times
from twotower_tf.storage.days import day_range

_EXAMPLES = 3


@dataclasses.dataclass(frozen=True)
class Rejected:
    """Records that can't be used for reasons of one kind.

    Attributes:
        count: How many.
        examples: Three of them at most: ``file``, ``line``, ``reason`` and ``record``.
    """

    count: int
    examples: list[dict]


@dataclasses.dataclass
class Part:
    """What was found of a part of the source.

    Attributes:
        what: ``events``, ``items``, ``users``, ``searches`` or ``impressions``.
        files: How many files it has.
        bytes: How many bytes they have.
        formats: How many of them are of each format.
        days: The first and the last of the days that their paths name, None without.
        missing_days: The days between these of which there is no file; a catalogue and profiles
            need not have one of each.
        sampled: How many records were looked at.
        is_whole: Whether these are all.
        records: How many there are, about if not all were looked at.
        columns: The columns.
        times: The times; None of what is no log.
        read: How many records were read to be used: of logs those of the days in question, of items
            and users all.
        rejected: Those that can't be used, by kinds of reasons; None: it did not come to that.
    """

    what: str
    files: int
    bytes: int
    formats: dict[str, int]
    days: tuple[str, str] | None
    missing_days: list[str]
    sampled: int
    is_whole: bool
    records: int
    columns: Columns
    times: Times | None = None
    read: int | None = None
    rejected: list[Rejected] | None = None

    @property
    def rejected_records(self) -> int:
        """How many records can't be used."""
        return sum(one.count for one in self.rejected or ())


@dataclasses.dataclass
class Findings:
    """What was found of a source, as far as it came.

    Attributes:
        days: The first and the last day that a build would be asked for, None if none is known.
        parts: Of each part of the source.
        matches: How many ids of the logs find what they name.
        examples: What the sampled events would make.
        features: Of both towers.
        tables: Of embeddings.
        expected: Memory and disk.
        warnings: What will not be as it is meant, a line each.
        refusal: Why a build would end with status 2; None: it would not.
    """

    days: tuple[str, str] | None = None
    parts: list[Part] = dataclasses.field(default_factory=list)
    matches: dict[str, Match] = dataclasses.field(default_factory=dict)
    examples: ExamplesMade | None = None
    features: list[FeatureFacts] = dataclasses.field(default_factory=list)
    tables: list[TableFacts] = dataclasses.field(default_factory=list)
    expected: list[Expected] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    refusal: str | None = None

    def part(self, what: str) -> Part | None:
        """Returns what was found of a part of the source."""
        return next((part for part in self.parts if part.what == what), None)


def part_of(what: str, files: Sequence[SourceFile], sample: Sample, columns: Columns) -> Part:
    """Returns what is known of a part of the source before its records are read to be used."""
    days = sorted(there := {file.day for file in files} - {None})
    return Part(
        what=what,
        files=len(files),
        bytes=bytes_of(files),
        formats=dict(Counter(file.format for file in files)),
        days=(str(days[0]), str(days[-1])) if days else None,
        missing_days=[str(day) for day in day_range(days[0], days[-1]) if day not in there]
        if days
        else [],
        sampled=sample.records,
        is_whole=sample.is_whole,
        records=sample.expected(),
        columns=columns,
    )


def rejected_of(lines: Sequence[str]) -> list[Rejected]:
    """Returns rejected records by kinds of reasons, the most frequent first."""
    return [Rejected(len(some), some[:_EXAMPLES]) for some in rejects.by_reason(lines)]
