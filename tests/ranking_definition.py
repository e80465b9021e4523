"""What ranking examples are, an impression at a time in plain Python.

It shares nothing with the build but the hashes. The deployment is that of
``tests/examples/conftest.py`` with the log of impressions that ``IMPRESSIONS`` tells of.
"""

import datetime
import math
import zoneinfo

import numpy as np

from tests.example_definition import SECONDS_PER_DAY, naive_example
from twotower_tf.config import Config
from twotower_tf.examples import hashes
from twotower_tf.examples.hashes import Purpose

PAGE_GAP = 3600
IMPRESSIONS = {
    "path": "shown/dt={date}/*.jsonl",
    "columns": {
        "seed_item_id": "seed",
        "page_id": "page",
        "position": "place",
        "source": "by",
        "score": "points",
        "surface": "where",
    },
}
OUTCOME = {"clicked": "clicked", "watched_seconds": "seconds"}


def hash_of(record: dict) -> int:
    """Returns the hash of an event or an impression."""
    user, item, time = (record[name] for name in ("user_id", "item_id", "timestamp"))
    texts = (np.array([hashes.text_hash(text)], np.uint64) for text in (user, item))
    return int(hashes.event_hashes(*texts, np.array([time]))[0])


def share_of(value: int, purpose: Purpose) -> float:
    return float(hashes.shares(np.array([value], np.uint64), purpose)[0])


def place_of(record: dict) -> tuple:
    """Returns what decides the order of a user's records, and which are copies."""
    return record["timestamp"], hash_of(record), record["item_id"]


class Known:
    """What is known of every user's records of a log, day after day."""

    def __init__(self, length: int):
        self.length = length
        self._state: dict[str, list[dict]] = {}
        self._today: dict[str, list[dict]] = {}

    def bring(self, records: list[dict]) -> tuple[list[dict], int]:
        """Takes a day's records; returns those that are no copies, and how many are."""
        for user, mine in self._today.items():
            known = sorted([*self._state.get(user, []), *mine], key=place_of)
            self._state[user] = known[-self.length :]
        self._today = {}
        kept, copies = [], 0
        for one in records:
            mine = self._today.setdefault(one["user_id"], [])
            known = [*self._state.get(one["user_id"], []), *mine]
            if place_of(one) in [place_of(other) for other in known]:
                copies += 1
            else:
                mine.append(one)
                kept.append(one)
        return kept, copies

    def before(self, user: str, timestamp: int) -> list[dict]:
        """Returns the last records strictly before a time, as the day knows them."""
        known = [*self._state.get(user, []), *self._today.get(user, [])]
        earlier = [one for one in known if one["timestamp"] < timestamp]
        return sorted(earlier, key=place_of)[-self.length :]

    def at_end(self, user: str) -> list[dict]:
        """Returns the last records at the day's end."""
        return self.before(user, 1 << 40)


class RankingDefinition:
    """The ranking examples of days, oldest first.

    Args:
        config: The deployment's.
        items: The catalogue, by item id.
        users: The profiles, by user id.
    """

    def __init__(self, config: Config, items: dict, users: dict):
        self._config = config
        self._items = items
        self._users = users
        self._acted = Known(config.examples.history_length)
        self.shown = Known(config.ranking.shown_length)

    def day(self, events: list[dict], impressions: list[dict]) -> tuple[dict, dict[str, int]]:
        """Returns a day's examples by split, and its counts; all records are valid ones."""
        events, _ = self._acted.bring(events)
        kept, copies = self.shown.bring([dict(one) for one in impressions])
        self._find_outcomes(events, kept)
        parted = self._find_pages(kept)
        splits: dict[str, list[dict]] = {"train": [], "eval": []}
        for one in kept:
            held_out = share_of(one["page_hash"], Purpose.HOLD_OUT)
            where = "eval" if held_out < self._config.examples.holdout_share else "train"
            splits[where].append({**one, "weight": 1.0})
        splits["train"] = self._sampled(splits["train"])
        made = {split: [self._example(one) for one in some] for split, some in splits.items()}
        chosen = [*made["train"], *made["eval"]]
        counts = {
            "examples": len(made["train"]),
            "held_out": len(made["eval"]),
            "left_out": len(kept) - len(chosen),
            "clicked": sum(one["clicked"][0] > 0 for one in chosen),
            "pages": len({one["page_hash"] for one in kept}),
            "pages_again": parted,
            "watched_corrected": sum(one["corrected"] for one in kept),
            "impressions_used": len(kept),
            "impressions_duplicates": copies,
        }
        return made, counts

    def _find_outcomes(self, events: list[dict], impressions: list[dict]) -> None:
        """Puts into each impression when a click was known, 0: never, and what was watched."""
        log = self._config.source.impressions
        for one in impressions:
            clicked = log.tells_outcome and one["clicked"]
            one["answered"] = one["timestamp"] if clicked else 0
            one["told"] = one["seconds"] if clicked else 0.0
        if not log.tells_outcome:
            for event in sorted(events, key=lambda event: event["timestamp"]):
                before = [
                    one
                    for one in impressions
                    if one["user_id"] == event["user_id"]
                    and one["item_id"] == event["item_id"]
                    and 0 <= event["timestamp"] - one["timestamp"] <= log.join_minutes * 60
                ]
                last = max(before, key=lambda one: one["timestamp"], default=None)
                if last is not None and not last["answered"]:
                    last["answered"], last["told"] = event["timestamp"], event["watched"]
        for one in impressions:
            one["watched_seconds"] = max(0.0, one["told"])
            if self._config.ranking.overlong == "cap" and one["item_id"] in self._items:
                lasts = self._items[one["item_id"]]["length"]
                one["watched_seconds"] = min(one["watched_seconds"], lasts)
            one["corrected"] = one["watched_seconds"] != one["told"]

    def _find_pages(self, impressions: list[dict]) -> int:
        """Puts into each the hash of its page; returns how many ids were used again."""
        last: dict[tuple, tuple[int, int]] = {}
        again = 0
        for one in sorted(impressions, key=lambda one: one["timestamp"]):
            page, time = one.get("page") or None, one["timestamp"]
            key = (one["user_id"], time if page is None else page)
            seen, began = last.get(key, (None, time))
            if seen is not None and time - seen > PAGE_GAP:
                again += 1
                began = time
            last[key] = time, began
            hashed = np.array([hashes.text_hash(page or "")], np.uint64)
            if page is None:
                hashed ^= hashes.mixed(np.array([time], np.uint64))
            user = np.array([hashes.text_hash(one["user_id"])], np.uint64)
            one["page_hash"] = int(hashes.event_hashes(user, hashed, np.array([began]))[0])
        return again

    def _sampled(self, training: list[dict]) -> list[dict]:
        """Returns those to train on, negatives with the weight that undoes the sampling."""
        section = self._config.ranking
        most, ratio = section.max_per_user_and_day, section.negatives_per_positive
        if most is not None:
            training.sort(key=lambda one: share_of(hash_of(one), Purpose.CAP))
            training = [
                one
                for number, one in enumerate(training)
                if sum(other["user_id"] == one["user_id"] for other in training[:number]) < most
            ]
        if ratio is None:
            return training
        result = []
        for shard in range(self._config.examples.shards):
            mine = [one for one in training if self._shard_of(one) == shard]
            result += [one for one in mine if one["answered"]]
            negatives = [one for one in mine if not one["answered"]]
            negatives.sort(key=lambda one: share_of(hash_of(one), Purpose.SAMPLE))
            kept = negatives[: math.ceil(ratio * max(1, len(mine) - len(negatives)))]
            result += [{**one, "weight": len(negatives) / len(kept)} for one in kept]
        return result

    def _shard_of(self, one: dict) -> int:
        return hashes.text_hash(one["user_id"]) % self._config.examples.shards

    def _example(self, one: dict) -> dict[str, list]:
        user, time = one["user_id"], one["timestamp"]
        past, shown = self._acted.before(user, time), self.shown.before(user, time)
        made = naive_example({"watched": 0, **one}, past, [], self._items, self._users)
        del made["reward"]
        local = datetime.datetime.fromtimestamp(
            time, zoneinfo.ZoneInfo(self._config.ranking.time_zone)
        )
        return {
            **made,
            "impression/history_days": [
                (time - old["timestamp"]) / SECONDS_PER_DAY for old in past
            ],
            "impression/history_dwell": [old["watched"] for old in past],
            "impression/shown_item_ids": [old["item_id"] for old in shown],
            "impression/shown_days": [(time - old["timestamp"]) / SECONDS_PER_DAY for old in shown],
            "impression/shown_clicked": [float(0 < old["answered"] < time) for old in shown],
            "impression/position": [one.get("place", 0)],
            "impression/nomination_score": [one.get("points", 0.0)],
            "impression/nomination_source": [one.get("by", "")],
            "impression/surface": [one.get("where", "")],
            "impression/hour": [str(local.hour)],
            "impression/weekday": [str(local.weekday())],
            "page": [np.uint64(one["page_hash"]).astype(np.int64).item()],
            "clicked": [float(one["answered"] > 0)],
            "watched_seconds": [one["watched_seconds"]],
            "weight": [one["weight"]],
        }
