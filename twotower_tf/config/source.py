"""Where events come from: files, their columns, their formats."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from twotower_tf.config import dated_paths
from twotower_tf.config.section import Column, Positive, Section, Separator, Touches, nearest
from twotower_tf.config.times import MIDNIGHT, DayStart, TimeUnit, TimeZone


class EventColumnsSection(Section):
    """Which column of the event files holds what."""

    user_id: Column = "user_id"
    """Who acted."""
    item_id: Column = "item_id"
    """On which item."""
    timestamp: Column = "timestamp"
    """When."""
    seed_item_id: Column | None = None
    """The item on screen when it happened; may be empty in some events."""
    history: Column | None = None
    """The item ids acted on before, oldest first, as the log has them (a click path). Without it
    the build makes the histories from the events."""
    event_type: Column | None = None
    """What each event was, such as ``click`` or ``purchase``; may be empty in some. For ``types``
    of a [history encoder](model.md#history-encoders)."""
    dwell: Column | None = None
    """How long each event lasted, in any unit, such as seconds watched; 0 where it is missing. For
    ``dwell`` of a [history encoder](model.md#history-encoders)."""
    held_out: Column | None = None
    """A number: not 0, and the event is held out, to evaluate on; 0, and it is trained on. Without
    it ``examples.holdout_share`` decides. For a split of your own, such as leave-one-out."""


class ItemColumnsSection(Section):
    """Which column of the catalogue holds what."""

    item_id: Column = "item_id"
    """The item's id, as events name it."""
    published_at: Column | None = None
    """Items published after the end of a day are not recommended on it."""
    title: Column | None = None
    """Shown to people by ``recommend``; a feature only if you make it one."""


class UserColumnsSection(Section):
    """Which column of the user profiles holds what."""

    user_id: Column = "user_id"
    """The user's id, as events name it."""


class SearchColumnsSection(Section):
    """Which column of the search log holds what."""

    user_id: Column = "user_id"
    """Who searched, as events name them."""
    query: Column = "query"
    """What they typed."""
    timestamp: Column = "timestamp"
    """When."""


class ImpressionColumnsSection(Section):
    """Which column of the impression log holds what."""

    user_id: Column = "user_id"
    """Who was shown it, as events name them."""
    item_id: Column = "item_id"
    """What was shown."""
    timestamp: Column = "timestamp"
    """When."""
    seed_item_id: Column | None = None
    """The item on screen when it was shown; may be empty in some. Other features of the query that
    are columns of the event are read from the same columns of this log, and have their default
    where it lacks them."""
    position: Column | None = None
    """Where on the page, from 0. It is trained with, and the same for all at serving."""
    page_id: Column | None = None
    """The page, or the request, that it was part of. Without it what a user was shown in one second
    is a page."""
    source: Column | None = None
    """What nominated it, such as ``index``; at serving the nominator's name."""
    score: Column | None = None
    """The score that it was nominated with."""
    surface: Column | None = None
    """Where it was shown, such as ``home``; may be empty in some."""
    clicked: Column | None = None
    """Whether the user acted on it: a number, not 0 if so. With it give ``watched_seconds``."""
    watched_seconds: Column | None = None
    """How long the user watched it, 0 where nothing came of it. Without it the outcome is joined
    from the events (``join_minutes``)."""


Format = Literal[
    "auto", "csv", "tsv", "jsonl", "parquet", "wikispeedia_paths", "wikispeedia_articles"
]
# What data frames, databases and tools write where there is nothing.
USUAL_MISSING = (
    "\\N",
    "NULL",
    "Null",
    "null",
    "(null)",
    "None",
    "NaN",
    "nan",
    "N/A",
    "n/a",
    "#N/A",
    "<NA>",
    "-",
)
# Keys of ``columns`` without which there is no record.
ALWAYS = ("user_id", "item_id", "timestamp", "query", "held_out")
Encoding = Annotated[str, Field(title="encoding, as Python names it")]


def _texts(values):
    """Returns the texts of a list, or of one text, each once; YAML reads some as numbers."""
    values = values if isinstance(values, list) else [values]
    return sorted({str(one).lower() if isinstance(one, bool) else str(one) for one in values})


Texts = Annotated[list[str], BeforeValidator(_texts), Field(min_length=1)]


class TextList(Section):
    """How a list is written as text."""

    separator: Separator | None = None
    """What stands between its elements; without it spaces do."""
    parts: list[Column] = Field(default_factory=list)
    """The names of what an element consists of; without them it is one text."""
    between: Separator = "-"
    """What stands between the parts of an element."""


class Files(Section):
    """A set of files below ``--source``: one file, a glob, or one folder a day (``{date}``)."""

    path: Annotated[str, Touches.NOTHING]
    """A file or glob below ``--source``; ``{date}`` stands for a day as YYYY-MM-DD,
    ``{date:%Y%m%d}`` or ``{date:%Y/%m/%d}`` for one in another form, ``{hour}`` beside it for an
    hour of it (of logs). ``**/`` matches any folders."""
    format: Format = "auto"
    """``auto`` goes by each file's name: ``.csv``, ``.tsv``, ``.jsonl``, ``.json`` (each also with
    ``.gz``, ``.bz2``, ``.xz``, ``.zst`` or ``.lz4``), ``.parquet``. The last two read the
    Wikispeedia data set."""
    encoding: Encoding | None = None
    """Of CSV, TSV and JSON, such as ``latin-1``. Without it UTF-8, or UTF-16 where a file begins
    like that."""
    header: Annotated[tuple[Column, ...], Field(min_length=1)] | None = None
    """The columns of CSV and TSV files without a header, in their order. Without it a file's first
    row says them."""
    delimiter: Separator | None = None
    """What stands between the fields of CSV and TSV files, any text: ``;``, ``::``. Without it a
    comma in CSV, a tab in TSV."""
    quote: Literal["auto", "double", "none"] = "auto"
    """``double``: a field of CSV and TSV may be quoted with ``"``, and then hold delimiters, line
    breaks and, doubled, quotes. ``none``: quotes are characters like others, and every line is a
    row. ``auto``: ``double``; where tabs stand between fields ``none``, unless a field in the first
    megabyte of the file is quoted as a whole; where a longer text does, ``none``."""
    comment: Separator | None = None
    """Lines of CSV and TSV that begin with this text, such as ``#``, are passed over."""
    timestamp_unit: TimeUnit = "seconds"
    """Of every time in these files: Unix time, ``iso8601`` for text such as
    ``2026-01-31T12:00:00Z``, ``2026-01-31 12:00:00 UTC`` or ``2026-01-31``, or how else they are
    written, as a pattern of Python's ``strptime``: ``"%d/%m/%Y %H:%M"``, ``"%Y%m%d"``. Parquet's
    own times need no unit."""
    time_zone: TimeZone = "UTC"
    """Of the times in these files that don't say their zone: text without one, Parquet's times
    without one, dates (their midnight). Text with ``Z`` or ``+02:00`` keeps its own; Unix times
    have none. Which *day* a time belongs to says ``source.day_starts``."""
    optional: list[Column] = Field(default_factory=list)
    """Columns among ``columns``, beside ids and times, that files may lack, such as a seed item's
    that was first logged today; for a feature say ``required: false``."""
    missing: list[str] | None = None
    """Texts that stand for a missing value, beside the empty one and NaN. Without it those that
    databases and data frames write (``\\N``, ``NULL``, ``None``, ``nan``, ``N/A``, ``-`` and the
    like), in ids, numbers and times. Those listed here count in all columns, text too; ``[]``:
    there are none."""

    lists: dict[Column, TextList] = Field(default_factory=dict)
    """Columns of CSV and TSV files in which lists are written as text. ``column[]``, or
    ``column[].part``, takes them apart as it does the lists of JSON, a record an element:
    ``{shown: {parts: [id, clicked]}}`` makes ``shown[].id`` and ``shown[].clicked`` of ``i7-1
    i9-0``. For a feature of all elements give it a ``separator`` instead."""
    where: Annotated[dict[Column, Texts], Field(title="column → texts")] = Field(
        default_factory=dict
    )
    """Only the records whose columns hold one of these texts are read, the others passed over and
    not counted: ``{event: [play, like]}``, ``{property: categoryid}``."""

    @model_validator(mode="after")
    def _check_optional(self):
        may_lack = {
            column: key
            for key, column in getattr(self, "columns", ())
            if key not in ALWAYS and column is not None
        }
        for column in self.optional:
            if column not in may_lack:
                allowed = ", ".join(may_lack) or "none"
                raise ValueError(
                    f"optional: '{column}' is none of the columns that may be missing "
                    f"({allowed}){nearest(column, may_lack)}; of features say required: false"
                )
        return self

    def missing_in(self, of_text: bool) -> frozenset[str]:
        """Returns the texts that stand for a missing value, in text or in all else."""
        if self.missing is not None:
            return frozenset(self.missing)
        return frozenset() if of_text else frozenset(USUAL_MISSING)

    def where_texts(self) -> dict[str, frozenset[str]]:
        """Returns the texts of which each column of ``where`` must be one."""
        return {column: frozenset(texts) for column, texts in self.where.items()}

    @field_validator("path")
    @classmethod
    def _check_path(cls, path):
        dated_paths.check(path)
        return path

    @property
    def is_dated(self) -> bool:
        """Whether each file belongs to a day, which its path says."""
        return dated_paths.is_dated(self.path)

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, name):
        try:
            # Some codecs are none of text, such as "zip".
            "".encode(name or "utf-8")
        except LookupError:
            raise ValueError(
                f"there is no encoding {name!r}; give one such as latin-1 or cp1252"
            ) from None
        return name

    @model_validator(mode="after")
    def _check_dialect(self):
        if self.quote == "double" and self.delimiter and len(self.delimiter.encode()) > 1:
            raise ValueError(
                f"quote: double needs a delimiter of one ASCII character, got {self.delimiter!r}"
            )
        twice = [name for name in self.header or () if self.header.count(name) > 1]
        if twice:
            raise ValueError(f"header names the column '{twice[0]}' more than once")
        return self


class _Snapshots(Files):
    """Files that hold what there is, not what happened."""

    @field_validator("path")
    @classmethod
    def _check_no_hours(cls, path):
        if dated_paths.has_hours(path):
            raise ValueError("a snapshot is of a day, and all of it: {hour} is for logs only")
        return path


class EventFiles(Files):
    """The event log."""

    columns: EventColumnsSection = EventColumnsSection()
    """Which column is what."""


class ItemFiles(_Snapshots):
    """The item catalogue; with ``{date}`` in the path, a snapshot a day."""

    columns: ItemColumnsSection = ItemColumnsSection()
    """Which column is what."""


class UserFiles(_Snapshots):
    """The user profiles."""

    columns: UserColumnsSection = UserColumnsSection()
    """Which column is what."""


class SearchFiles(Files):
    """The search log: what users typed, and when."""

    columns: SearchColumnsSection = SearchColumnsSection()
    """Which column is what."""


class ImpressionFiles(Files):
    """The impression log: what users were shown, whether they acted on it or not."""

    columns: ImpressionColumnsSection = ImpressionColumnsSection()
    """Which column is what."""
    join_minutes: Positive = 60
    """Where the log doesn't tell the outcome: an event of the user on the item, on the same day and
    at most so long after it was shown, is a click of it. What was watched of it is then
    ``source.events.columns.dwell``, in seconds."""

    @property
    def tells_outcome(self) -> bool:
        """Whether the log itself says what came of each."""
        return self.columns.watched_seconds is not None

    @model_validator(mode="after")
    def _check_outcome(self):
        if self.columns.clicked is not None and not self.tells_outcome:
            raise ValueError(
                "columns.clicked needs columns.watched_seconds beside it; or leave both out, and "
                "clicks are joined from the events"
            )
        return self


class Source(Section):
    """Where events, items, user profiles, searches and impressions are, and where to get them."""

    events: EventFiles
    """The event log."""
    items: ItemFiles
    """The item catalogue."""
    users: UserFiles | None = None
    """The user profiles, if there are any."""
    searches: SearchFiles | None = None
    """The search log, if there is one: past searches become a feature."""
    impressions: ImpressionFiles | None = None
    """The impression log, if there is one: what ``ranking`` learns from."""
    day_starts: DayStart = MIDNIGHT
    """When a *day* starts, of all logs and of all that is made of them: the day 2026-01-31 lasts
    from this clock time on that date, in this zone, to the same on the next, be it 23, 24 or 25
    hours. For logs whose folders of a day are cut at local midnight: ``"00:00 Europe/Zurich"``."""
    homepage: Annotated[str | None, Touches.NOTHING] = None
    """Where to get the data set; shown when files are missing."""
