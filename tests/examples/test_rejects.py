"""How many rejected records are too many."""

import pytest

from twotower_tf.config.examples import ExamplesSection
from twotower_tf.examples.rejects import are_too_many


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
