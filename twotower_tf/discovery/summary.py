"""What was found, for the terminal, and what to run next."""

import shlex

from twotower_tf.discovery.parts import Part
from twotower_tf.discovery.proposal import Proposal


def summary(proposal: Proposal, source: str, out: str) -> str:
    """Returns what was found, what is unsure of it, and the next commands.

    Args:
        proposal: What was found.
        source: As ``--source``.
        out: The configuration that was written.
    """
    lines = [_part(part) for part in proposal.parts]
    seen = proposal.behaviour
    lines.append(f"days:   {seen.first} to {seen.last}, about {seen.a_day:,.0f} events a day")
    unused = list(proposal.passed_over)
    if unused:
        more = f" and {len(unused) - 6} more" if len(unused) > 6 else ""
        lines.append(f"not used: {', '.join(unused[:6])}{more}")
    if proposal.doubts:
        lines += ["", "unsure:", *(f"  - {doubt}" for doubt in proposal.doubts)]
    job = shlex.join([f"--config={out}", f"--source={source}"])
    lines += [
        "",
        f"wrote {out}; look it over, then:",
        f"  python -m pipelines.check {job}",
        f"  python -m pipelines.run_daily {job} --workdir=work \\",
        f"      --start={seen.first} --end={seen.last}",
    ]
    return "\n".join(lines)


def _part(part: Part) -> str:
    sample = part.table.sample
    about = "" if sample.whole else "about "
    columns = part.values.get("columns", {})
    named = ", ".join(f"{key} {column}" for key, column in columns.items())
    unit = part.values.get("timestamp_unit")
    said = "; ".join(filter(None, (named, unit and f"times {unit}")))
    return f"{part.what + ':':<7} {part.values['path']}, {about}{sample.rows:,} rows" + (
        f"; {said}" if said else ""
    )
