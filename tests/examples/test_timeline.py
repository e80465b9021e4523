"""The timeline of a shard against one that goes through it a user and an event at a time."""

import random

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twotower_tf.examples.hashes import mixed
from twotower_tf.examples.shards.timeline import Actions, make_timeline

# Times of a day; days that follow each other share none.
DAY = 8
USERS, ITEMS = 3, 3

events = st.lists(
    # (user, day, how far back from the day's end, item)
    st.tuples(
        st.sampled_from([0, 0, 0, 1, 2]),
        st.integers(1, 5),
        st.integers(0, DAY - 1) | st.integers(0, 3 * DAY),
        st.integers(0, ITEMS - 1),
    ),
    max_size=40,
)
states = st.dictionaries(
    st.integers(0, USERS - 1),
    st.sets(st.tuples(st.integers(0, 2 * DAY), st.integers(0, ITEMS - 1)), max_size=4),
)


def order_of(user: int, time: int, item: int) -> int:
    return int(mixed(np.array([(user * 1000 + time) * 1000 + item], np.uint64))[0])


def actions(rows: list[tuple], first: int = 0) -> Actions:
    """Returns (user, time, item) each as columns, records numbered from ``first`` on."""
    order = np.array([order_of(*row) for row in rows], np.uint64)
    user, time, item = np.array(rows, np.int64).reshape(-1, 3).T
    records = first + np.arange(len(rows))
    copy = np.zeros(len(rows), np.uint64)
    return Actions(user, time, item.astype(np.int32), order, records, copy)


def naive(log: list[tuple], carried: dict[int, list], length: int) -> tuple[dict, dict]:
    """Returns the history of each event that is no copy, and the states after every day."""
    known = {user: list(rows) for user, rows in carried.items()}
    histories, states = {}, {}
    for day in sorted({day for _, day, _, _ in log}):
        for user in range(USERS):
            before = known.get(user, [])
            today: list[tuple] = []
            for number, (one, its_day, time, item) in enumerate(log):
                action = (time, order_of(user, time, item), item)
                if (one, its_day) == (user, day) and action not in [*before, *today]:
                    today.append(action)
                    histories[number] = action
            together = sorted([*before, *today])
            for number, action in histories.items():
                if log[number][:2] == (user, day):
                    earlier = [item for time, _, item in together if time < action[0]]
                    histories[number] = earlier[-length:]
            if today:
                known[user] = together[-length:]
                states[user, day] = [(time, item) for time, _, item in known[user]]
    return histories, states


def same_second_next_day(first: int) -> dict:
    """Returns a day's last event, and events of the next day that are of the same second."""
    log = [(0, 1, 0, first), *((0, 2, DAY, item) for item in range(ITEMS))]
    return {"log": log, "carried": {}, "length": 3, "shuffle": random.Random(1)}


@settings(deadline=None, max_examples=300)
@example(**same_second_next_day(0))
@example(**same_second_next_day(1))
@example(**same_second_next_day(2))
@given(log=events, carried=states, length=st.integers(1, 4), shuffle=st.randoms())
def test_histories_and_states_are_those_of_one_event_after_the_other(log, carried, length, shuffle):
    log = [(user, day, (day + 1) * DAY - 1 - back, item) for user, day, back, item in log]
    log = [one for one in log if one[2] >= 0]
    state = {
        user: sorted((time, order_of(user, time, item), item) for time, item in rows)[-length:]
        for user, rows in carried.items()
    }
    histories, states = naive(log, state, length)
    # In any order, with the place in the log as the order of delivery.
    rows = list(range(len(log)))
    shuffle.shuffle(rows)
    active = sorted({user for user, *_ in log})
    brought = [(log[row][0], *log[row][2:]) for row in rows]
    known = [(user, time, item) for user in active for time, _, item in state.get(user, ())]
    timeline = make_timeline(
        actions(brought),
        np.array([log[row][1] for row in rows], np.int64),
        np.array(rows, np.int64),
        actions(known, len(brought)),
        length,
    )
    recorded = [[*brought, *known][record][1:] for record in timeline.records]
    assert recorded == list(zip(timeline.times, timeline.items, strict=True))
    assert timeline.records[timeline.places].tolist() == timeline.rows.tolist()
    found = zip(timeline.rows, timeline.starts, timeline.ends, strict=True)
    assert {rows[row]: timeline.items[start:end].tolist() for row, start, end in found} == histories
    places = zip(
        timeline.users, timeline.days, timeline.state_starts, timeline.state_ends, strict=True
    )
    assert {
        (user, day): list(zip(timeline.times[start:end], timeline.items[start:end], strict=True))
        for user, day, start, end in places
    } == states
    assert sorted(states) == list(zip(timeline.users, timeline.days, strict=True))
