"""What a closed loop found: as a table, as JSON, and as a page with charts."""

import dataclasses
import os
from collections.abc import Sequence

from twotower_tf.evaluation import charts, page
from twotower_tf.storage import write_json, write_text
from twotower_tf.studies.arm_figures import FIGURES, Difference, Sums, differences, figures_of
from twotower_tf.studies.closed_loop import ClosedLoop

# So many lines a chart has colours for.
_MOST_LINES = 5
_TITLE = "Arms in a closed loop"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The figures of every arm, and how the others differ from the first.

    Attributes:
        loop: What was run.
        figures: By arm and figure.
        by_day: By figure, a row an arm, of each day its value.
        differences: By arm, but the first, and figure.
        at_first: The same on the first day, when all arms showed the same: what differs there, the
            users did, and not the arms.
    """

    loop: ClosedLoop
    figures: dict[str, dict[str, float]]
    by_day: dict[str, list[list[float]]]
    differences: dict[str, dict[str, Difference]]
    at_first: dict[str, dict[str, Difference]]


def compare(loop: ClosedLoop) -> Comparison:
    """Computes all figures of a loop; the platform's seed is that of the bootstrap too."""
    sums = [loop.sums(number) for number in range(len(loop.arms))]
    daily = [
        [figures_of(loop.sums(number, [day])) for day in loop.days]
        for number in range(len(loop.arms))
    ]
    first_day = next(iter(loop.shown))
    at_first = [loop.sums(number, [first_day]) for number in range(len(loop.arms))]
    names = [arm.name for arm in loop.arms]
    return Comparison(
        loop,
        {name: figures_of(one) for name, one in zip(names, sums, strict=True)},
        {key: [[day[key] for day in arm] for arm in daily] for key in FIGURES},
        _to_the_first(loop, names, sums),
        _to_the_first(loop, names, at_first),
    )


def _to_the_first(
    loop: ClosedLoop, names: Sequence[str], sums: Sequence[Sums]
) -> dict[str, dict[str, Difference]]:
    seed = loop.simulator.settings.seed
    others = zip(names[1:], sums[1:], strict=True)
    return {name: differences(sums[0], one, seed) for name, one in others}


def as_dictionary(found: Comparison) -> dict:
    """Returns all figures as they are written."""
    loop = found.loop
    return {
        "days": [day.isoformat() for day in loop.days],
        "seed": loop.simulator.settings.seed,
        "arms": {
            name: {"users": int((loop.arm_of == number).sum()), **figures}
            for number, (name, figures) in enumerate(found.figures.items())
        },
        "differences": _as_numbers(found.differences),
        "differences_on_the_first_day": _as_numbers(found.at_first),
        "by_day": {
            key: dict(zip(found.figures, rows, strict=True)) for key, rows in found.by_day.items()
        },
    }


def _as_numbers(of_arms: dict[str, dict[str, Difference]]) -> dict:
    return {
        name: {
            key: {
                "difference": one.value,
                "low": one.low,
                "high": one.high,
                "is_none": one.is_none,
            }
            for key, one in of_arm.items()
        }
        for name, of_arm in of_arms.items()
    }


def as_table(found: Comparison) -> str:
    """Writes a row a figure and arm: its value, and the difference to the first arm.

    Below it stands in what the arms' users differed before anything was released.
    """
    rows = [
        f"{figure:36} {arm:24}{value:>10}  {difference}".rstrip()
        for figure, arm, value, difference in _rows(found)
    ]
    return "\n".join([*rows, *_users_who_differ(found)])


def _users_who_differ(found: Comparison) -> list[str]:
    """Says in which figures the arms' users differed by themselves, on the first day."""
    return [
        f"the users of {name} differed on the first day already, by chance: {FIGURES[key][0]} "
        f"{one.value:+.3g} ({_number(one.low)} to {_number(one.high)})"
        for name, of_arm in found.at_first.items()
        for key, one in of_arm.items()
        if not one.is_none
    ]


def _rows(found: Comparison) -> list[list[str]]:
    first = next(iter(found.figures))
    rows = [["a figure", "arm", "value", f"difference to {first}, 95 % interval"]]
    for key, (title, *_) in FIGURES.items():
        for name, figures in found.figures.items():
            one = found.differences[name][key] if name != first else None
            rows.append(
                [title, name, _number(figures[key]), _worded(one, found.figures[first][key])]
            )
            title = ""
    return rows


def _worded(one: Difference | None, base: float) -> str:
    """Words a difference: by how much, in which interval, or that there is none."""
    if one is None:
        return ""
    sign = "+" if one.value >= 0 else "-"
    interval = f"{_number(one.low)} to {_number(one.high)}"
    if one.is_none:
        return f"no difference ({interval})"
    share = f", {one.value / base:+.1%}" if base else ""
    return f"{sign}{_number(abs(one.value))}{share} ({interval})"


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 100.0 else f"{value:.3g}"


def write_comparison(found: Comparison, folder: str) -> str:
    """Writes ``closed_loop.json`` and ``closed_loop.html``; returns the page's path."""
    write_json(os.path.join(folder, "closed_loop.json"), as_dictionary(found))
    path = os.path.join(folder, "closed_loop.html")
    write_text(path, _page(found))
    return path


def _page(found: Comparison) -> str:
    loop, days = found.loop, found.loop.days
    settings = loop.simulator.settings
    titles, *rows = _rows(found)
    explained = page.note(
        f"{settings.users:,} simulated users, split by a hash; {settings.pages_per_day:,} pages a "
        "day. Every night each arm trains on the logs of its own users, and the next day its "
        "release fills two thirds of their pages. Intervals hold 95 % of a bootstrap over users "
        f"and days; a difference whose interval holds 0 is none. Seed {settings.seed}."
    )
    drawn = list(found.figures)[:_MOST_LINES]
    pictures = [
        (title[0].upper() + title[1:], _chart(days, found.by_day[key], title))
        for key, (title, *_) in FIGURES.items()
    ]
    body = [
        page.header(_TITLE, f"{days[0]} to {days[-1]}", page.Cell("")),
        page.section(
            "Differences",
            explained,
            page.table(titles, rows),
            *map(page.note, _users_who_differ(found)),
        ),
        page.section("Day by day", page.legend(drawn), page.charts(pictures)),
    ]
    return page.document(_TITLE, body)


def _chart(days: Sequence, rows: list[list[float]], title: str) -> str:
    lines = [charts.Series(row, colour) for colour, row in enumerate(rows[:_MOST_LINES])]
    return charts.over_days(days, lines, f"{title} by arm, day by day")
