"""What a build would not refuse, and is hardly meant."""

import datetime
from collections.abc import Iterator

from twotower_tf.config import Config
from twotower_tf.examples import matches
from twotower_tf.examples.building.limits import none_is_meant
from twotower_tf.inspection.features import share_colliding
from twotower_tf.inspection.findings import Findings, Part
from twotower_tf.inspection.times import as_text

_RARE = 0.01
_MANY_COPIES = 0.05
_MANY_SHARED = 0.5
_MOST = 0.9
_DAYS_SHOWN = 3


def warnings_of(config: Config, findings: Findings) -> list[str]:
    """Returns what is to be looked at before a build, a line each."""
    found = [text for part in findings.parts for text in _of_part(config, part)]
    least = config.examples.warn_match_share
    found += matches.warnings(findings.matches, least)
    found += _of_examples(config, findings)
    found += _of_features(findings)
    return found


def _of_part(config: Config, part: Part) -> Iterator[str]:
    section = getattr(config.source, part.what)
    if not part.sampled:
        meant = f": {none_is_meant(part.what, section.where)}" if section.where else ""
        yield f"{part.what}: there are no records{meant}"
        return
    for column in part.columns.named:
        if not column.found:
            near = f"; is it '{column.nearest}'?" if column.nearest else ""
            yield f"{part.what}: there is no column '{column.name}' ({column.key}){near}"
        elif column.given == 0:
            yield f"{part.what}: the column '{column.name}' ({column.key}) is empty in all records"
        elif column.given < _RARE:
            yield (
                f"{part.what}: the column '{column.name}' ({column.key}) has a value in only "
                f"{column.given:.2%} of the records"
            )
    if part.times is not None:
        yield from _of_times(part, section)


def _of_times(part: Part, section) -> Iterator[str]:
    times = part.times
    unreadable = times.records - times.readable
    if unreadable:
        yield (
            f"{part.what}: {unreadable:,} of {times.records:,} times can't be read as "
            f"{times.unit} (source.{part.what}.timestamp_unit)"
        )
    for kind, number in (("an earlier", times.late), ("a later", times.ahead)):
        if number:
            yield (
                f"{part.what}: {number:,} of {times.readable:,} are of {kind} day than their "
                f"file ({number / times.readable:.1%})"
            )
    if times.readable > 1 and times.midnight > _MOST * times.readable:
        yield (
            f"{part.what}: the times are dates ({times.midnight / times.readable:.0%} are at "
            "midnight UTC): what came first on a day is not known"
        )
    now = datetime.datetime.now(datetime.timezone.utc)
    if times.last is not None and times.last > now.timestamp():
        yield f"{part.what}: the last time, {as_text(times.last)}, is in the future"
    if section.is_dated and part.days is not None and part.missing_days:
        shown = ", ".join(part.missing_days[:_DAYS_SHOWN])
        more = len(part.missing_days) - _DAYS_SHOWN
        others = f" and {more:,} more days" if more > 0 else ""
        yield (
            f"{part.what}: there are no files of {shown}{others}; a build from {part.days[0]} to "
            f"{part.days[1]} would be refused (an empty file makes an empty day)"
        )


def _of_examples(config: Config, findings: Findings) -> Iterator[str]:
    made = findings.examples
    if made is None:
        events = findings.part("events")
        if findings.refusal is None and events is not None and events.sampled:
            yield "events: not one of the sample is a valid event of the day"
        return
    if made.copies > _MANY_COPIES * made.events:
        yield (
            f"events: {made.copies:,} of {made.events:,} count as duplicates, of one user, item "
            "and second (examples.duplicates says what are copies)"
        )
    if not made.examples:
        yield "events: not one makes an example (examples.min_reward)"
    elif made.without_reward > _MOST * made.examples:
        yield (
            f"examples: {made.without_reward:,} of {made.examples:,} have a reward of 0: nothing "
            "is learnt from them (examples.reward)"
        )
    whole = findings.part("events").is_whole
    if whole and made.examples and made.without_history > _MOST * made.examples:
        yield (
            f"examples: {made.without_history:,} of {made.examples:,} have no history: are users' "
            "ids those of people who come back?"
        )


def _of_features(findings: Findings) -> Iterator[str]:
    for one in findings.features:
        if one.distinct == 1:
            yield f"feature {one.name} ({one.tower}) has the same value everywhere"
        if one.unlisted and (share := share_colliding(one.unlisted, one.buckets)) > _MANY_SHARED:
            yield (
                f"feature {one.name} ({one.tower}): of {one.unlisted:,} values in "
                f"{one.buckets:,} buckets {share:.0%} share their row with another; list them "
                "(values), or give it more buckets"
            )
    for table in findings.tables:
        if table.problem is not None:
            yield f"table {table.name}: {table.problem}"
        elif not table.buckets and table.hashed > _MANY_SHARED * table.distinct:
            yield f"table {table.name}: {table.hashed:,} of {table.distinct:,} ids have no row"
        elif table.buckets and table.shared > _MANY_SHARED:
            yield (
                f"table {table.name}: of {table.hashed:,} ids in {table.buckets:,} buckets "
                f"{table.shared:.0%} share their row with another; give it more buckets"
            )
