"""Which events are copies of one another, as the configuration says."""

import pytest

ORDERS = ["o1", "o2", "o1", None, "o2", "o1"]


@pytest.mark.parametrize(
    ("duplicates", "kept"),
    [({}, 2), ({"keep": "all"}, 12), ({"key": ["order"]}, 6), ({"key": ["order", "line"]}, 12)],
)
def test_copies_are_of_one_user_item_second_and_key(
    deployment, make_event, days, read_day, duplicates, kept
):
    # Of a log that knows only dates: two users, one item, six orders each.
    events = [
        make_event(user, 1, 0, order=order, line=line)
        for line, order in enumerate(ORDERS)
        for user in (1, 2)
    ]
    deployment.write_day(days[0], events)
    deployment.write_day(days[1], [make_event(1, 2, 86_400 + n, order=7, line=n) for n in (5, 5)])
    built = deployment.build(days[:2], duplicates=duplicates, holdout_share=0.0)
    assert built[days[0]]["events"] == len(events)
    assert built[days[0]]["duplicates"] == len(events) - kept
    examples = read_day(deployment.workdir(), days[0])
    assert len(examples) == kept
    # Events of one second never see each other; those of the next day see what was kept.
    assert not any(one["query/history"] for one in examples)
    later = read_day(deployment.workdir(), days[1])
    assert len(later) == (2 if duplicates.get("keep") == "all" else 1)
    assert all(one["query/history"] == ["i1"] * min(4, kept // 2) for one in later)
