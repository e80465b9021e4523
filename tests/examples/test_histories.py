"""Chains of histories against a dictionary that is kept from day to day."""

import datetime
import itertools
import os
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twotower_tf.errors import InputError
from twotower_tf.examples.hashes import text_hash
from twotower_tf.examples.users import histories, user_files
from twotower_tf.examples.users.history_rows import SCHEMA
from twotower_tf.storage import Workdir

FIRST = datetime.date(2024, 2, 20)
SHARDS = 3
USERS = [f"u{n}" for n in range(60)]

# The days since the day built before, and who was active.
days_of_activity = st.lists(
    st.tuples(st.integers(1, 6), st.sets(st.sampled_from(USERS))), min_size=1, max_size=10
)


def _shard_of(user_id: str) -> int:
    return text_hash(user_id) % SHARDS


def _active(state: dict, users: set[str], day: datetime.date, shard: int) -> pa.Table:
    """Lets users act and returns their rows, in no order."""
    rows = []
    for user in users:
        items, times = state.get(user, ((), ()))
        stamp = day.toordinal() * 86_400
        state[user] = (*items, f"i{day.day}")[-4:], (*times, stamp)[-4:]
        rows.append(dict(zip(SCHEMA.names, (user, *state[user]), strict=True)))
    return pa.Table.from_pylist(rows, SCHEMA)


def _build(workdir: Workdir, days, every: int, at_once: int) -> dict[str, tuple]:
    """Builds days, some in a call; returns what a dictionary knows of the users at the end."""
    state: dict[str, tuple] = {}
    chains: list = [[] for _ in range(SHARDS)]
    for start in range(0, len(days), at_once):
        some = days[start : start + at_once]
        if start:
            partition = workdir.partition(histories.KIND, days[start - 1][0])
            chains = histories.chains_of(workdir, partition)
        keepers = [
            histories.ShardHistories(n, SHARDS, every, chain) for n, chain in enumerate(chains)
        ]
        for day, users in some:
            manifest: dict = {}
            partition = workdir.partition(histories.KIND, day)
            with partition.write(manifest) as folder:
                for shard, keeper in enumerate(keepers):
                    name = histories.file_name(shard, SHARDS)
                    active = {user for user in users if _shard_of(user) == shard}
                    keeper.write(
                        day, os.path.join(folder, name), _active(state, active, day, shard)
                    )
                    # Published: the file has moved.
                    link = histories.Link(day, partition.file(name), SHARDS)
                    keeper.chain = (link, *keeper.chain[1:])
                manifest["chains"] = histories.chains_entry([keeper.chain for keeper in keepers])
    return state


def _days(activity) -> list[tuple[datetime.date, set[str]]]:
    day, days = FIRST, []
    for gap, users in activity:
        day += datetime.timedelta(days=gap)
        days.append((day, users))
    return days


def _carried(workdir: Workdir, day: datetime.date) -> dict[str, tuple]:
    chains = histories.chains_of(workdir, workdir.partition(histories.KIND, day))
    found = {}
    for shard, chain in enumerate(chains):
        users = [user for user in USERS if _shard_of(user) == shard]
        keeper = histories.ShardHistories(shard, SHARDS, 5, chain)
        carried = keeper.lookup(pa.array(users, pa.string())).items
        assert keeper.rows_read <= 32 * len(users) * len(chain)
        for row in zip(users, carried.values, carried.timestamps, strict=True):
            user, item_ids, timestamps = row
            if len(item_ids):
                found[user] = tuple(item_ids.as_py()), tuple(timestamps.as_py())
            else:
                assert not len(timestamps)
    return found


@settings(deadline=None, max_examples=25)
@given(activity=days_of_activity, every=st.integers(1, 7))
def test_after_any_days_every_user_has_the_history_a_dictionary_has(
    tmp_path_factory, activity, every
):
    workdir = Workdir(str(tmp_path_factory.mktemp("work")))
    days = _days(activity)
    state = _build(workdir, days, every, at_once=1)
    assert _carried(workdir, days[-1][0]) == state
    partition = workdir.partition(histories.KIND, days[-1][0])
    for asked in (USERS[:8], USERS[7:8]):
        rows = histories.find_users(workdir, partition, asked, SCHEMA)
        for user, row in zip(asked, rows, strict=True):
            found = row and (row["user_id"], tuple(row["item_ids"]), tuple(row["timestamps"]))
            assert found == ((user, *state[user]) if user in state else None)
    everyone = histories.some_users(workdir, partition, 100)
    assert sorted(everyone) == sorted(state)
    assert histories.some_users(workdir, partition, 7) == everyone[:7]


@settings(deadline=None, max_examples=15)
@given(activity=days_of_activity, at_once=st.integers(2, 10))
def test_days_one_by_one_and_together_make_the_same_bytes(tmp_path_factory, activity, at_once):
    roots = [tmp_path_factory.mktemp("work") for _ in range(2)]
    for root, count in zip(roots, (1, at_once), strict=True):
        _build(Workdir(str(root)), _days(activity), every=5, at_once=count)
    contents = [
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in roots
    ]
    assert contents[0] == contents[1]


def test_full_files_are_written_in_turns_and_never_later_than_configured():
    days = [FIRST + datetime.timedelta(days=n) for n in range(60)]
    due = [
        (day, shard)
        for before, day in itertools.pairwise(days)
        for shard in range(7)
        if histories.is_full_due(shard, day, before, every=14)
    ]
    assert max(Counter(day for day, _ in due).values()) == 1
    for shard in range(7):
        own = [day for day, number in due if number == shard]
        assert {(b - a).days for a, b in itertools.pairwise(own)} == {14}
    assert histories.is_full_due(0, FIRST, None, every=14)
    assert histories.is_full_due(3, FIRST + datetime.timedelta(days=14), FIRST, every=14)


def test_only_the_active_users_are_written_between_full_files(tmp_path):
    keeper = histories.ShardHistories(0, 1, every=14)
    rows = {}
    for number in range(30):
        day = FIRST + datetime.timedelta(days=number)
        users = set(USERS) if not number else {USERS[number], USERS[2 * number]}
        rows[day] = keeper.write(day, str(tmp_path / str(day)), _active({}, users, day, 0))
    assert Counter(rows.values()) == {2: 27, 60: 3}


def test_what_a_chain_needs_is_said_and_missed(tmp_path):
    workdir = Workdir(str(tmp_path))
    days = _days([(1, set(USERS[n : n + 9])) for n in range(9)])
    _build(workdir, days, every=5, at_once=9)
    newest = workdir.partition(histories.KIND, days[-1][0])
    oldest = min(datetime.date.fromisoformat(chain[-1]) for chain in newest.manifest()["chains"])
    state = _carried(workdir, newest.day)
    for day, _ in days:
        manifest = os.path.join(workdir.partition(histories.KIND, day).path, "manifest.json")
        if day < oldest:
            os.remove(manifest)
    assert days[0][0] < oldest
    assert _carried(workdir, newest.day) == state
    os.remove(os.path.join(workdir.partition(histories.KIND, oldest).path, "manifest.json"))
    with pytest.raises(InputError, match=f"dt={oldest} is gone.* need all since {oldest}: put it"):
        histories.chains_of(workdir, newest)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 12])
def test_another_number_of_shards_goes_on_from_the_histories_of_all(tmp_path, count):
    workdir = Workdir(str(tmp_path / "work"))
    rng = np.random.default_rng(count)
    activity = [(1, set(rng.choice(USERS, 9, replace=False).tolist())) for _ in range(4)]
    state = _build(workdir, _days(activity), every=3, at_once=1)
    before = workdir.partition(histories.KIND, _days(activity)[-1][0])
    chains = histories.resharded(histories.chains_of(workdir, before), count)
    found, day = {}, before.day + datetime.timedelta(days=1)
    for shard, chain in enumerate(chains):
        own = [user for user in USERS if text_hash(user) % count == shard]
        keeper = histories.ShardHistories(shard, count, 3, chain)
        past = keeper.lookup(pa.array(own, pa.string())).items
        known = dict(zip(own, map(tuple, past.values.to_pylist()), strict=True))
        found |= {user: item_ids for user, item_ids in known.items() if item_ids}
        path = str(tmp_path / f"{shard}.arrow")
        keeper.write(day, path, SCHEMA.empty_table())
        if count != SHARDS:
            assert keeper.chain == (histories.Link(day, path, count),)
            rows = [row for piece in user_files.pieces(path) for row in piece.to_pylist()]
            assert {row["user_id"]: tuple(row["item_ids"]) for row in rows} == {
                user: state[user][0] for user in own if user in state
            }
    assert found == {user: item_ids for user, (item_ids, _) in state.items()}
