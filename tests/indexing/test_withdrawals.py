"""Withdrawals against a dictionary: what holds after any calls, and what a mistake says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twotower_tf.errors import InputError
from twotower_tf.indexing.candidates.withdrawals import lift, read_withdrawals, withdraw
from twotower_tf.storage import Workdir

_IDS = st.lists(st.sampled_from(["a", "b", "ключ", "d/../e"]), max_size=3)


@given(st.lists(st.tuples(st.booleans(), _IDS), max_size=6))
def test_after_any_calls_that_is_withdrawn_which_was_last(tmp_path_factory, calls):
    workdir = Workdir(str(tmp_path_factory.mktemp("work")))
    held: dict[str, str] = {}
    for number, (is_lifted, item_ids) in enumerate(calls):
        if is_lifted and not set(item_ids) <= held.keys():
            with pytest.raises(InputError, match="is not withdrawn in"):
                lift(workdir, item_ids)
        elif is_lifted:
            lift(workdir, item_ids)
            for item_id in item_ids:
                held.pop(item_id, None)
        else:
            assert withdraw(workdir, item_ids, f"reason {number}") == sorted(
                set(item_ids) - held.keys()
            )
            for item_id in item_ids:
                held.setdefault(item_id, f"reason {number}")
    assert {item_id: one.reason for item_id, one in read_withdrawals(workdir).items()} == held


def test_a_mistake_names_the_item_and_those_that_are_withdrawn(tmp_path):
    workdir = Workdir(str(tmp_path))
    withdraw(workdir, ["v7", "v2"])
    with pytest.raises(
        InputError, match=r"item 'v8' is not withdrawn in .*; withdrawn are v2, v7$"
    ):
        lift(workdir, ["v7", "v8"])
    assert list(read_withdrawals(workdir)) == ["v2", "v7"]
