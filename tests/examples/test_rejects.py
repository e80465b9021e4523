"""How many rejected records are too many."""

import pytest

from twotower_tf.config.examples import ExamplesSection
from twotower_tf.examples.rejects import are_too_many, rejected_line, too_many


@pytest.mark.parametrize(
    ("rejected", "read", "share", "least", "expected"),
    [
        # One bad line of ten does not stop a day, nor do ten of them.
        (1, 10, 0.05, 10, False),
        (10, 20, 0.05, 10, False),
        (11, 20, 0.05, 10, True),
        (50, 1000, 0.05, 10, False),
        (51, 1000, 0.05, 10, True),
        (1, 1000, 0.0, 0, True),
        # Of which nothing is left is never little.
        (3, 3, 0.05, 10, True),
        (3, 3, 1.0, 0, False),
        (0, 0, 0.05, 10, False),
    ],
)
def test_a_share_is_too_many_unless_they_are_few(rejected, read, share, least, expected):
    section = ExamplesSection(max_rejected_share=share, max_rejected=least)
    assert are_too_many(rejected, read, section) == expected


def test_a_log_that_is_cut_at_another_time_is_told_where_to_say_so():
    def said(reason: str) -> str:
        return too_many("events of 2024-03-02", [rejected_line("", "x", 1, {}, reason)], 3, 0.05)

    for kind, other in (("late", "2024-03-01"), ("ahead of its time", "2024-03-03")):
        message = said(f"{kind}: an event of {other} in a file of 2024-03-02")
        assert message.endswith(
            "2024-03-02; if the log's days are cut at another time, say when "
            "they start: source.day_starts"
        )
    assert said("column 'x' is missing").endswith("x:1: column 'x' is missing")
