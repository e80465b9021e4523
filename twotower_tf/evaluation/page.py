"""The report's page: plain HTML elements and their style, all text escaped."""

import dataclasses
import html
from collections.abc import Sequence

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfbf9; --card: #fff; --ink: #1d2129; --muted: #626a76;
  --line: #e3e4e1; --series-1: #1f4fc4; --series-2: #de8a1a; --series-3: #0a7d6f;
  --series-4: #a23fb0; --series-5: #6d7683; --series-6: #b5392f;
  --good: #13733f; --bad: #b3261e; --good-soft: #e2f3e9; --bad-soft: #fbe6e4; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --card: #1b1f25; --ink: #e7e9ec;
  --muted: #9ca5b1; --line: #30363e; --series-1: #82a9ff; --series-2: #f2a74b;
  --series-3: #45cbb9; --series-4: #dd8ee8; --series-5: #aab3bf; --series-6: #f08c80;
  --good: #7bd6a1; --bad: #ff9d94; --good-soft: #17352a;
  --bad-soft: #40211f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.55 system-ui,
  -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 12px; }
h2 { font-size: 19px; letter-spacing: -.01em; margin: 44px 0 4px; }
h3 { font-size: 14px; font-weight: 600; margin: 0 0 6px; }
p { margin: 0 0 12px; max-width: 72ch; }
.over { color: var(--muted); font-size: 13px; margin: 0 0 2px; }
.note { color: var(--muted); font-size: 14px; }
.badge { display: inline-block; padding: 2px 12px; border-radius: 99px; font-size: 13px;
  font-weight: 600; border: 1px solid var(--line); color: var(--muted); }
.good { color: var(--good); } .bad { color: var(--bad); }
.badge.good { background: var(--good-soft); border-color: transparent; }
.badge.bad { background: var(--bad-soft); border-color: transparent; }
.tiles, .charts { display: grid; gap: 14px; margin: 18px 0; }
.tiles { grid-template-columns: repeat(auto-fit, minmax(min(100%, 280px), 1fr)); }
.charts { grid-template-columns: repeat(auto-fill, minmax(min(100%, 420px), 1fr)); }
.tile, figure, .scroll { background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
.tile { padding: 14px 16px; }
.tile b { display: block; font-size: 26px; line-height: 1.25; font-weight: 650;
  letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
.tile span { display: block; color: var(--muted); font-size: 13px; }
figure { margin: 0; padding: 14px 16px 8px; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; }
figure text { font-family: inherit !important; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 10px 0 0; padding: 0;
  list-style: none; font-size: 13px; color: var(--muted); }
.legend i { display: inline-block; width: 22px; margin-right: 7px; vertical-align: middle;
  border-top: 3px solid; }
.legend .series-1 { border-color: var(--series-1); }
.legend .series-2 { border-color: var(--series-2); }
.legend .series-3 { border-color: var(--series-3); }
.legend .series-4 { border-color: var(--series-4); }
.legend .series-5 { border-color: var(--series-5); }
.legend .series-6 { border-color: var(--series-6); }
.scroll { overflow-x: auto; margin: 14px 0; width: fit-content; max-width: 100%; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 9px; text-align: right; white-space: nowrap; }
th { font-weight: 600; color: var(--muted); white-space: normal; vertical-align: bottom;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
tbody tr + tr td { border-top: 1px solid var(--line); }
@media print { main { padding: 0; } figure, .tile, tr { break-inside: avoid; } }
"""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A table's cell that is good or bad news: its text, and ``"good"``, ``"bad"`` or ``""``."""

    text: str
    news: str = ""


def document(title: str, body: Sequence[str]) -> str:
    """Returns a whole page that needs nothing besides itself."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"
    )


def header(over: str, title: str, badge: Cell) -> str:
    """Returns the page's head: what it is, its title, and how it stands."""
    return (
        f'<header><p class="over">{html.escape(over)}</p><h1>{html.escape(title)}</h1>'
        f'<span class="badge {badge.news}">{html.escape(badge.text)}</span></header>'
    )


def section(title: str, *parts: str) -> str:
    """Returns a titled section of finished parts."""
    return f"<section><h2>{html.escape(title)}</h2>\n" + "\n".join(parts) + "</section>"


def note(text: str) -> str:
    """Returns a paragraph that explains."""
    return f'<p class="note">{html.escape(text)}</p>'


def tiles(values: Sequence[tuple[str, str, str]]) -> str:
    """Returns the key numbers: each with its name, and a line that puts it in proportion."""
    cells = (
        f'<div class="tile"><span>{html.escape(name)}</span><b>{html.escape(value)}</b>'
        f"<span>{html.escape(proportion)}</span></div>"
        for name, value, proportion in values
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def legend(names: Sequence[str]) -> str:
    """Returns the names of the series, in the order of their colours."""
    entries = (
        f'<li><i class="series-{number}"></i>{html.escape(name)}</li>'
        for number, name in enumerate(names, 1)
    )
    return f'<ul class="legend">{"".join(entries)}</ul>'


def charts(drawn: Sequence[tuple[str, str]]) -> str:
    """Returns titled charts side by side: each a title and an ``<svg>`` element."""
    figures = (f"<figure><h3>{html.escape(title)}</h3>{svg}</figure>" for title, svg in drawn)
    return f'<div class="charts">{"".join(figures)}</div>'


def table(titles: Sequence[str], rows: Sequence[Sequence[str | Cell]]) -> str:
    """Returns a table; its first column is left-aligned, the others are for numbers."""
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _cell(cell: str | Cell) -> str:
    if isinstance(cell, Cell):
        return f'<td class="{cell.news}">{html.escape(cell.text)}</td>'
    return f"<td>{html.escape(cell)}</td>"
