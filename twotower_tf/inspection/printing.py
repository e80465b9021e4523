"""The findings of a check as lines that people read, and as JSON."""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence

from twotower_tf.examples import matches
from twotower_tf.inspection.examples_made import ExamplesMade
from twotower_tf.inspection.findings import Findings, Part
from twotower_tf.inspection.times import as_text

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_NAMES_SHOWN = 10
_RECORD_CHARACTERS = 160


def lines_of(findings: Findings) -> Iterator[str]:
    """Yields the lines."""
    for part in findings.parts:
        yield from _of_part(part)
        yield ""
    if findings.matches:
        yield "matches"
        yield from (f"  {text}" for text in matches.worded(findings.matches))
        yield ""
    if findings.examples is not None:
        yield from _of_examples(findings.examples, findings.part("events"))
        yield ""
    if findings.features:
        yield from _of_features(findings)
        yield ""
    if findings.expected:
        yield "expected of all events (beside histories, counts and statistics)"
        rows = ([one.what, size(one.bytes), one.how] for one in findings.expected)
        yield from _aligned(rows)
        yield ""
    yield from _of_warnings(findings)


def json_of(findings: Findings) -> str:
    """Returns all of it as JSON."""
    return json.dumps(dataclasses.asdict(findings), indent=2, default=str)


def size(number: float) -> str:
    """Returns a number of bytes in words."""
    for unit, scale in _UNITS:
        if number >= scale:
            return f"{number / scale:.1f} {unit}"
    return f"{number:.0f} bytes"


def _of_part(part: Part) -> Iterator[str]:
    formats = ", ".join(
        name if len(part.formats) == 1 else f"{number} {name}"
        for name, number in sorted(part.formats.items())
    )
    looked_at = f"all {part.records:,} records"
    if not part.is_whole:
        looked_at = f"a sample of {part.sampled:,} of about {part.records:,} records"
    days = f", {part.days[0]} to {part.days[1]}" if part.days else ""
    files = f"{part.files:,} file{'s' if part.files != 1 else ''}"
    yield f"{part.what}: {files} of {formats}{days}, {size(part.bytes)}; {looked_at}"
    rows = [["column", "has a value", "named by"]]
    for one in part.columns.named:
        given = "" if one.given is None else f"{one.given:.1%}"
        if not one.found:
            near = f"; nearest: {one.nearest}" if one.nearest else ""
            given = f"not there{near}"
        rows.append([one.name, given, one.key + ("" if one.required else " (may be missing)")])
    yield from _aligned(rows)
    if part.columns.unused:
        shown = ", ".join(part.columns.unused[:_NAMES_SHOWN])
        more = len(part.columns.unused) - _NAMES_SHOWN
        yield f"  not used: {shown}{f' and {more} more' if more > 0 else ''}"
    if part.times is not None:
        yield from _of_times(part)
    if part.rejected is not None:
        yield from _of_rejected(part)


def _of_times(part: Part) -> Iterator[str]:
    times = part.times
    if times.first is None:
        yield f"  times in {times.unit}: not one can be read"
        return
    yield (
        f"  times in {times.unit}: {as_text(times.first)} to {as_text(times.last)} UTC, on "
        f"{len(times.days):,} day{'s' if len(times.days) != 1 else ''}"
    )
    if times.late is not None:
        late, ahead = times.late / times.readable, times.ahead / times.readable
        yield f"  of an earlier day than their file {late:.1%}, of a later one {ahead:.1%}"


def _of_rejected(part: Part) -> Iterator[str]:
    share = f" ({part.rejected_records / part.read:.2%})" if part.rejected_records else ""
    yield f"  {part.read:,} looked at, {part.rejected_records:,} rejected{share}"
    for kind in part.rejected or ():
        yield f"    {kind.count:,} like"
        for record in kind.examples:
            text = json.dumps(record["record"], ensure_ascii=False, default=str)
            if len(text) > _RECORD_CHARACTERS:
                text = text[: _RECORD_CHARACTERS - 3] + "..."
            yield f"      {record['file']}:{record['line']}: {record['reason']}"
            yield f"        {text}"


def _of_examples(made: ExamplesMade, events: Part) -> Iterator[str]:
    yield (
        "examples"
        if events.is_whole
        else "examples, of the sample (histories of all events are longer)"
    )
    yield (
        f"  {made.events:,} valid events of {made.users:,} users, {made.copies:,} duplicates; "
        f"{made.examples:,} make an example, {made.without_reward:,} of these have a reward of 0"
    )
    half, most, longest = made.history_lengths
    yield (
        f"  histories: half have at most {half:,} items, nine in ten {most:,}, all {longest:,}; "
        f"{made.without_history:,} are empty"
    )
    if made.example_bytes is not None:
        yield (
            f"  an example takes {made.example_bytes:,.0f} bytes, compressed "
            f"{made.stored_bytes:,.0f}"
        )


def _of_features(findings: Findings) -> Iterator[str]:
    rows = [["feature", "tower", "kind", "column", "different values"]]
    for one in findings.features:
        distinct = "filled in" if one.distinct is None else f"{one.distinct:,}"
        if one.buckets is not None:
            distinct += f", {one.unlisted:,} not listed in {one.buckets:,} buckets"
        rows.append([one.name, one.tower, one.kind, one.column, distinct])
    yield "features"
    yield from _aligned(rows)
    if not findings.tables:
        return
    rows = [["table", "listed", "buckets", "dim", "different ids", "share a row"]]
    for table in findings.tables:
        shared = f"{table.shared:.0%} of {table.hashed:,}" if table.buckets else "none"
        by_data = " (by the data)" if table.is_open else ""
        numbers = (f"{one:,}" for one in (table.listed, table.buckets, table.dim, table.distinct))
        rows.append([table.name, *numbers, shared + by_data])
    yield "tables: rows for listed ids and buckets for all others (words are counted about)"
    yield from _aligned(rows)


def _of_warnings(findings: Findings) -> Iterator[str]:
    if findings.warnings:
        yield "warnings"
        yield from (f"  {text}" for text in findings.warnings)
    logs = [part for part in findings.parts if part.times is not None]
    if findings.refusal is not None:
        # The line that says why follows, as of any job.
        yield "a build would refuse this"
    elif findings.days is not None and not any(one.missing_days for one in logs):
        first, last = findings.days
        given = f"--date={first}" if first == last else f"--start={first} --end={last}"
        warned = "" if findings.warnings else "nothing to warn of; "
        yield f"{warned}a build would take this: {given}"


def _aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yields rows of cells as lines, each column as wide as its widest cell."""
    rows = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  " + "  ".join(cells).rstrip()
