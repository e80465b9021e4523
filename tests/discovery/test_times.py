"""How times are written."""

import datetime

import pytest

from twotower_tf.discovery.times import time_form

_TIMES = [
    datetime.datetime(2024, 3, 1, 10, 20, 30) + n * datetime.timedelta(days=1, hours=5)
    for n in range(20)
]
_SECONDS = [int(time.replace(tzinfo=datetime.timezone.utc).timestamp()) for time in _TIMES]


@pytest.mark.parametrize(
    ("unit", "written"),
    [
        ("seconds", lambda time, second: second),
        ("seconds", lambda time, second: f"{second}.25"),
        ("milliseconds", lambda time, second: str(second * 1000)),
        ("microseconds", lambda time, second: second * 10**6),
        ("nanoseconds", lambda time, second: second * 10**9),
        ("iso8601", lambda time, second: time.isoformat() + "Z"),
        ("iso8601", lambda time, second: f"{time} UTC"),
        ("%d/%m/%Y %H:%M:%S", lambda time, second: time.strftime("%d/%m/%Y %H:%M:%S")),
        ("%d.%m.%Y", lambda time, second: time.strftime("%d.%m.%Y")),
        ("%Y%m%d", lambda time, second: time.strftime("%Y%m%d")),
        ("%Y%m%d", lambda time, second: int(time.strftime("%Y%m%d"))),
        ("%b %d, %Y", lambda time, second: time.strftime("%b %d, %Y")),
        ("native", lambda time, second: time),
        ("native", lambda time, second: time.date()),
    ],
)
def test_units_and_patterns_are_found_with_the_seconds_they_mean(unit, written):
    values = [written(*one) for one in zip(_TIMES, _SECONDS, strict=True)]
    form = time_form(values)
    assert form.unit == unit
    midnights = [second - second % 86_400 for second in _SECONDS]
    assert form.seconds(values) == (midnights if form.days_only else _SECONDS)


def test_days_that_may_be_months_are_said():
    form = time_form(["01/02/2024", "03/04/2024"])
    assert (form.unit, form.others) == ("%d/%m/%Y", ("%m/%d/%Y",))
    assert time_form(["01/13/2024", "03/04/2024"]).others == ()


def test_whether_times_say_their_zone():
    assert time_form(["2024-03-01T10:00:00+02:00"]).has_zone
    assert not time_form(["2024-03-01 10:00:00"]).has_zone
    assert time_form([1709280000]).has_zone


@pytest.mark.parametrize("values", [["u1", "u2"], [1, 2, 3], ["", "x"], [True], [0.5], ["12", "7"]])
def test_other_values_are_no_times(values):
    assert time_form(values) is None
