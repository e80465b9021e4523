"""A configuration for what was found, with what is unsure of it."""

import dataclasses
import datetime
import re
from typing import Any

from twotower_tf.discovery.behaviour import Behaviour
from twotower_tf.discovery.features import Feature
from twotower_tf.discovery.parts import Part
from twotower_tf.discovery.rewards import Reward

_MANY_REPEATS = 0.15
_BURSTS = 0.2
_BASKET = 3.0
_LONG_WINDOW = 86_400
_KNOWN = 0.97
_EVENTS_PER_SHARD = 50_000
_MOST_SHARDS = 64
_SMALL_DAY = 200_000
_FEW_A_DAY = 2000
_LAST_DAYS, _LAST_SHARE = 28, 0.1
_FEWEST_BUCKETS, _MOST_BUCKETS = 20_000, 50_000_000


@dataclasses.dataclass
class Proposal:
    """What is known, before it is written.

    Attributes:
        name: Of the model.
        parts: The parts of the source, the events first.
        query: The query tower's features.
        candidate: The candidate tower's features.
        reward: What an event is worth.
        behaviour: How people act.
        known_items: About which share of the events is of items of the catalogue.
        items: About how many items there are.
        doubts: What is unsure, a line each.
        passed_over: Files that are not used, with the reason.
        residual: Features of the query that skip its layers; empty: the default ones.
    """

    name: str
    parts: list[Part]
    query: list[Feature]
    candidate: list[Feature]
    reward: Reward
    behaviour: Behaviour
    known_items: float
    items: int
    doubts: list[str]
    passed_over: dict[str, str]
    residual: tuple[str, ...] = ()

    def part(self, what: str) -> Part | None:
        """Returns a part of the source, None if there is none."""
        return next((part for part in self.parts if part.what == what), None)


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of the configuration with its value.

    Attributes:
        name: The key.
        value: Its value.
        note: Why.
    """

    name: str
    value: Any
    note: str


def example_keys(proposal: Proposal) -> list[Key]:
    """Returns the keys of ``examples``."""
    seen, keys = proposal.behaviour, []
    of_log = "history" in proposal.part("events").values.get("columns", {})
    if not of_log:
        length = 20 if seen.per_user < 50 else 50 if seen.per_user < 200 else 100
        keys.append(Key("history_length", length, f"About {seen.per_user:,.0f} events a user."))
    shards = min(_MOST_SHARDS, _power_of_2(round(seen.a_day / _EVENTS_PER_SHARD)))
    keys.append(Key("shards", shards, f"About {seen.a_day:,.0f} events a day."))
    days_only = proposal.part("events").table.columns[_time_column(proposal)].time.days_only
    if days_only or seen.alone >= _BURSTS or seen.at_once >= _BASKET:
        why = "People act in bursts, or few act in an hour"
        if seen.at_once >= _BASKET:
            why = "People act on several items at once"
        why = "Times are dates" if days_only else why
        note = f"{why}: spread each user's events over the day."
        keys.append(Key("interleave_window_seconds", _LONG_WINDOW, note))
    keys += _duplicates(proposal, days_only)
    if proposal.reward.values is not None:
        keys.append(Key("reward", proposal.reward.values, proposal.reward.note))
    if proposal.known_items < _KNOWN:
        note = f"The catalogue has the items of about {proposal.known_items:.0%} of the events."
        keys.append(Key("unknown_items", "keep", note))
    return keys


def _time_column(proposal: Proposal) -> str:
    return proposal.part("events").values.get("columns", {}).get("timestamp", "timestamp")


def _duplicates(proposal: Proposal, days_only: bool) -> list[Key]:
    seen = proposal.behaviour
    if seen.copies < 0.01:
        return []
    told = [name for name, share in seen.copies_by.items() if share < 0.2 * seen.copies]
    copies = f"{seen.copies:.0%} of the sampled events are of one user, item and time"
    if told and days_only:
        return [Key("duplicates", {"key": told[:1]}, f"{copies}; {told[0]} tells most apart.")]
    if days_only:
        return [Key("duplicates", {"keep": "all"}, f"{copies}; of dates these are no copies.")]
    proposal.doubts.append(f"{copies}: counted once (examples.duplicates)")
    return []


def tables_of(proposal: Proposal) -> dict[str, dict]:
    """Returns the tables of sizes that the catalogue does not tell, or of names of their own."""
    tables: dict[str, dict] = {}
    for feature in (*proposal.query, *proposal.candidate):
        name = feature.values.get("table", feature.column)
        if feature.left_out is not None:
            continue
        if feature.table_ids is not None:
            buckets = max(1024, _power_of_2(4 * feature.table_ids))
            tables[name] = {"buckets": min(buckets, 1 << 24)}
        elif "table" in feature.values:
            tables[name] = {}
    return tables


def nominator_key(proposal: Proposal) -> Key | None:
    """Returns what proposes items beside the index, where people come back to what they had."""
    seen = proposal.behaviour
    if "history" in proposal.part("events").values.get("columns", {}):
        return None
    if seen.again < _MANY_REPEATS:
        return None
    own = {"kind": "own_items", "popularity_days": [1, 7, 28]}
    note = f"About {seen.again:.0%} of the events may be on an item that the user had before."
    return Key("nominators", ["index", own, "popular"], note)


def training_key(proposal: Proposal) -> Key:
    """Returns the days a new model starts from, all but the last ones, and the replay."""
    seen = proposal.behaviour
    last = max(1, min(_LAST_DAYS, round(_LAST_SHARE * seen.days)))
    if seen.days <= last:
        backfill: dict[str, Any] = {"days": 1}
    else:
        backfill = {"until": seen.last - datetime.timedelta(days=last)}
    values: dict[str, Any] = {"backfill": backfill}
    if seen.a_day < _SMALL_DAY:
        values["replay"] = 1
    note = "A new model starts from the days there are but the last ones, in several passes; then "
    return Key("training", values, note + "each day comes once. The batch size is chosen then.")


def other_keys(proposal: Proposal) -> list[Key]:
    """Returns estimator, evaluation and gates."""
    seen = proposal.behaviour
    buckets = min(_MOST_BUCKETS, max(_FEWEST_BUCKETS, 10 * proposal.items))
    keys = [
        Key("estimator", {"buckets": buckets}, f"Ten times the items, about {proposal.items:,}.")
    ]
    if seen.a_day < _FEW_A_DAY:
        if seen.days >= _LAST_DAYS:
            keys.append(Key("evaluation", {"baseline_days": 28}, "Few events a day."))
        gates: dict[str, Any] = {"min_recall_ratio": 0.0}
        if seen.a_day < 200:
            gates |= {"min_items_per_batch": 0.0}
        note = "So few held-out events make recall jump from day to day: it holds nothing back."
        keys.append(Key("gates", gates, note))
    else:
        least = max(1, int(seen.a_day / 10))
        keys.append(Key("gates", {"min_examples": least}, "A tenth of what a day has."))
    return keys


def model_name(source: str) -> str:
    """Returns a name for the model, of the source's folder."""
    last = re.split(r"[/\\]", source.rstrip("/\\"))[-1]
    name = re.sub(r"\W+", "_", last, flags=re.ASCII).strip("_").lower()
    return name if name[:1].isalpha() else f"model_{name}".rstrip("_")


def _power_of_2(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()
