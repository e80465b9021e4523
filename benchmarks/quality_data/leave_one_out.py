"""A log of events as three days: to train on, each user's last event but one, and the last.

    python -m benchmarks.quality_data.leave_one_out --events=FILE --item_id=movie_id --out=DIR

The usual split of sequential recommenders (Kang and McAuley 2018, section IV): the last event of
each user is the test, the one before it the validation, all others are trained on; users with
fewer than three are only trained on. Events keep their times: with ``examples.late_events: keep``
an event belongs to its file's day, and its history is what came before its time. The columns are
those of the file, and ``held_out``.
"""

import argparse
import datetime
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.csv

_FEWEST = 3


def split(users: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Returns the part of each event: 0 to train on, 1 the validation, 2 the test.

    Args:
        users: [n], any type that sorts.
        times: [n]; of equal ones the later row is the later event.
    """
    order = np.lexsort((np.arange(len(users)), times, users))
    _, starts, counts = np.unique(users[order], return_index=True, return_counts=True)
    parts = np.zeros(len(users), np.int64)
    ends = (starts + counts)[counts >= _FEWEST]
    parts[order[ends - 1]] = 2
    parts[order[ends - 2]] = 1
    return parts


def write(events: pa.Table, parts: np.ndarray, times: np.ndarray, folder: pathlib.Path) -> None:
    """Writes the parts as ``events/dt=DAY/events.csv``, the first day the newest event's.

    Args:
        events: n events.
        parts: Of ``split``, [n].
        times: Unix seconds, [n].
        folder: Made if it is not there.
    """
    first = datetime.datetime.fromtimestamp(int(times.max()), datetime.timezone.utc).date()
    events = events.append_column("held_out", pa.array((parts > 0).astype(np.int64)))
    for part in range(3):
        day = first + datetime.timedelta(days=part)
        target = folder / f"events/dt={day}"
        target.mkdir(parents=True, exist_ok=True)
        chosen = events.filter(pa.array(parts == part))
        pyarrow.csv.write_csv(chosen, target / "events.csv")
        print(f"{target / 'events.csv'}: {len(chosen):,} events")


def convert(
    file: pathlib.Path,
    folder: pathlib.Path,
    user_id: str = "user_id",
    item_id: str = "item_id",
    timestamp: str = "timestamp",
) -> None:
    """Writes a CSV's parts; the names are of its columns.

    Raises:
        ValueError: If it lacks one of them.
    """
    events = pyarrow.csv.read_csv(file)
    missing = {user_id, item_id, timestamp} - set(events.column_names)
    if missing:
        raise ValueError(f"{file} has no column {', '.join(sorted(missing))}")
    users, times = (events[name].to_numpy() for name in (user_id, timestamp))
    write(events, split(users, times), times, folder)


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=pathlib.Path, required=True, help="a CSV with a header")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the folder to write to")
    for name in ("user_id", "item_id", "timestamp"):
        parser.add_argument(f"--{name}", default=name, help=f"the column of the {name}")
    flags = parser.parse_args()
    try:
        convert(flags.events, flags.out, flags.user_id, flags.item_id, flags.timestamp)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
