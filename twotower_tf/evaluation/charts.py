"""The report's charts, as SVG that takes its colours and type from the page around it.

Matplotlib draws with marker colours, which are then replaced by the page's CSS variables: so the
charts follow its light or dark theme. It is imported when the first chart is drawn.
"""

import dataclasses
import datetime
import html
import io
import math
import re
from collections.abc import Callable, Sequence

# What matplotlib draws with, and the CSS variable that takes its place.
_INK, _LINE = "#010101", "#020202"
_SERIES = ("#030301", "#030302", "#030303", "#030304", "#030305", "#030306")
_VARIABLES = {
    _INK: "var(--muted)",
    _LINE: "var(--line)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES, 1)},
}
_MARKERS = ("o", "s", "D", "^", "v", "P")
_SIZE_INCHES = (5.4, 2.9)

AVERAGED_DAYS = 7
MOST_DAYS_UNAVERAGED = 60


@dataclasses.dataclass(frozen=True)
class Series:
    """One line or set of bars: its values, None where there is none, and its colour (0 to 5)."""

    values: Sequence[float | None]
    colour: int = 0


def over_days(
    days: Sequence[datetime.date],
    series: Sequence[Series],
    label: str,
    highest: float | None = None,
    from_zero: bool = True,
) -> str:
    """Draws values over days; beyond 60 days faintly, under a 7-day moving average.

    Args:
        days: The days, oldest first; between days that are not consecutive the line breaks.
        series: A value a day each.
        label: What the chart shows, for those who can't see it.
        highest: The highest value of the charts to compare with, for a common y axis.
        from_zero: Whether the y axis starts at 0, or fits the values.

    Returns:
        An ``<svg>`` element.
    """

    def draw(axes) -> None:
        calendar, rows = _with_gaps(days, [each.values for each in series])
        averaged = len(calendar) > MOST_DAYS_UNAVERAGED
        for each, row in zip(series, rows, strict=True):
            colour = _SERIES[each.colour]
            if averaged:
                axes.plot(calendar, row, color=colour, linewidth=0.6, alpha=0.3)
                axes.plot(calendar, moving_average(row), color=colour)
            else:
                marker = {"marker": _MARKERS[each.colour], "markersize": 3.6}
                axes.plot(calendar, row, color=colour, **marker)
        _set_day_ticks(axes, calendar)
        if from_zero:
            values = [value for each in series for value in each.values if value is not None]
            _start_at_zero(axes, highest or max(values, default=0.0))

    return _svg(draw, label)


def by_decile(
    counts: Sequence[int],
    series: Sequence[Series],
    label: str,
    highest: float,
    after: Sequence[str] = (),
) -> str:
    """Draws bars for the popularity deciles, with the number of held-out examples below each.

    ``after`` names the groups that come after the deciles.
    """
    deciles = [str(decile + 1) for decile in range(len(counts) - len(after))]
    below = "popularity decile (1: most popular), and its held-out examples"
    return bars([*deciles, *after], counts, series, label, below, highest)


def bars(
    names: Sequence[str],
    counts: Sequence[int],
    series: Sequence[Series],
    label: str,
    below: str,
    highest: float,
) -> str:
    """Draws bars for groups.

    Args:
        names: Of the groups.
        counts: How many each group is of, below its name.
        series: A value a group each.
        label: What the chart shows, for those who can't see it.
        below: What the groups are.
        highest: The highest value of the charts to compare with, for a common y axis.

    Returns:
        An ``<svg>`` element.
    """

    def draw(axes) -> None:
        width = 0.8 / max(1, len(series))
        for place, each in enumerate(series):
            left = [group - 0.4 + (place + 0.5) * width for group in range(len(counts))]
            heights = [value or 0.0 for value in each.values]
            axes.bar(left, heights, width=width * 0.88, color=_SERIES[each.colour], linewidth=0)
        ticks = [f"{name}\n{compact(count)}" for name, count in zip(names, counts, strict=True)]
        axes.set_xticks(range(len(counts)), ticks)
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel(below)
        _start_at_zero(axes, highest)

    return _svg(draw, label, below=0.62)


def estimated_against_counted(points: Sequence[tuple[float, float]], label: str) -> str:
    """Draws (counted, estimated) probabilities on logarithmic axes, with the line of equality."""

    def draw(axes) -> None:
        counted, estimated = zip(*points, strict=True)
        low, high = min(*counted, *estimated) / 1.5, max(*counted, *estimated) * 1.5
        axes.plot([low, high], [low, high], color=_INK, linewidth=0.9, linestyle=(0, (4, 3)))
        style = {"marker": "o", "markersize": 3.8, "markeredgewidth": 0, "alpha": 0.65}
        axes.plot(counted, estimated, linestyle="none", color=_SERIES[0], **style)
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        axes.set_xlabel("counted probability to be in a batch")
        axes.set_ylabel("estimated")
        axes.minorticks_off()
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: compact(value))

    return _svg(draw, label, (5.4, 4.0), below=0.5, beside=0.72)


def moving_average(values: Sequence[float], days: int = AVERAGED_DAYS) -> list[float]:
    """Returns the mean of each value and those before it, ``days`` in all, without the NaNs."""
    result = []
    for end in range(1, len(values) + 1):
        window = [value for value in values[max(0, end - days) : end] if not math.isnan(value)]
        result.append(sum(window) / len(window) if window else math.nan)
    return result


def compact(value: float) -> str:
    """Writes a number in few characters: ``950``, ``1.2k``, ``35k``, ``4M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _with_gaps(days: Sequence[datetime.date], rows: Sequence[Sequence[float | None]]) -> tuple:
    """Returns every day from the first to the last, and each row with NaN where it has nothing."""
    calendar = [days[0] + datetime.timedelta(n) for n in range((days[-1] - days[0]).days + 1)]
    filled = []
    for row in rows:
        known = {day: value for day, value in zip(days, row, strict=True) if value is not None}
        filled.append([known.get(day, math.nan) for day in calendar])
    return calendar, filled


def _set_day_ticks(axes, calendar: Sequence[datetime.date]) -> None:
    from matplotlib import dates

    margin = datetime.timedelta(days=max(0.5, 0.02 * len(calendar)))
    start = datetime.datetime.combine(calendar[0], datetime.time())
    end = datetime.datetime.combine(calendar[-1], datetime.time())
    axes.set_xlim(start - margin, end + margin)
    if len(calendar) <= MOST_DAYS_UNAVERAGED:
        step = math.ceil(len(calendar) / 7)
        axes.set_xticks(calendar[::step], [f"{day.day} {day:%b}" for day in calendar[::step]])
    else:
        locator = dates.AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=False))


def _start_at_zero(axes, highest: float) -> None:
    axes.set_ylim(bottom=0, top=highest * 1.08 if highest > 0 else 1.0)


def _svg(
    draw: Callable,
    label: str,
    size: tuple[float, float] = _SIZE_INCHES,
    below: float = 0.3,
    beside: float = 0.5,
) -> str:
    """Draws a chart; ``below`` and ``beside`` are the inches that the labels of its axes need."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "twotower_tf",
        "font.size": 9,
        "lines.linewidth": 1.7,
        "axes.edgecolor": _LINE,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "xtick.labelcolor": _INK,
        "ytick.labelcolor": _INK,
    }
    with matplotlib.rc_context(settings):
        # Margins of fixed widths: fitting them to the labels would draw each chart twice.
        figure = Figure(figsize=size)
        left, bottom, top = beside / size[0], below / size[1], 1 - 0.12 / size[1]
        axes = figure.add_axes((left, bottom, 0.985 - left, top - bottom))
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="y", color=_LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(lambda value, _: compact(value))
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _for_the_page(file.getvalue(), label)


def _for_the_page(drawn: str, label: str) -> str:
    """Strips what only a file of its own needs, and hands the colours over to the page."""
    drawn = drawn[drawn.index("<svg") :].strip()
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"<!--.*?-->", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)
    drawn = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg ', r"<svg \1", drawn, count=1)
    drawn = re.sub(r"\n\s*", "\n", drawn)
    for marker, variable in _VARIABLES.items():
        drawn = drawn.replace(marker, variable)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)
