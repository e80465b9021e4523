"""Queries a second against recall@100: our kinds of index beside hnswlib and faiss.

    python -m benchmarks.index --out=FOLDER
    python -m benchmarks.index --items=1000000 --steps=6000 --folder=/big/disk --out=FOLDER
    python -m benchmarks.index --items=5000000 --contenders scann portable --threads 2 ...

The vectors are those of a two-tower model trained on simulated events; the queries are held-out
ones of the same model (`contenders/vectors.py`). Each contender is a process of its own. It builds
its index, or loads the one an earlier run left in --folder; then it answers queries at each of its
settings, which gives its curve. Threads are clients that ask at the same time, as those of a server
do; a search itself has one thread. A contender's fastest setting with the wanted recall is then
timed in turns with the others', a few rounds, so that what else the machine does falls on all
alike; the median counts. Ours take the extents of their automatic choice, for several recalls, made
with queries that are not timed. Recall is against exact search, the same for all; scores equal to
the 100th count.
"""

import argparse
import concurrent.futures
import importlib
import itertools
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.contenders.memory import memory
from benchmarks.contenders.worker import Worker, answer_all

AT = 100
# The first so many choose our extents (contenders/index_ours.py), the next are measured.
CHOOSING, MEASURED = 500, 1000
CONTENDERS = {
    "brute_force": ("index_ours", "BruteForce"),
    "scann": ("index_ours", "Scann"),
    "portable": ("index_ours", "Portable"),
    "hnswlib": ("index_peers", "Hnswlib"),
    "faiss_hnsw": ("index_peers", "FaissHnsw"),
    "faiss_ivfpq": ("index_peers", "FaissIvfPq"),
}
OURS = ("brute_force", "scann", "portable")
_FEWEST_ITEMS = 20_000
_TOLERANCE = 1e-5
_TIMINGS = 3
_TIMED_SECONDS = 0.4
_SCORES_AT_A_TIME = 1 << 26


def worker_of(name: str, vectors: pathlib.Path, threads: int = 1) -> Worker:
    """Starts a contender; it may build with so many threads, but searches with one."""
    return Worker(
        name,
        "benchmarks.index",
        f"--folder={vectors}",
        f"--threads={threads}",
        # faiss takes the number of threads of each client's searches from here.
        environment={"OMP_NUM_THREADS": str(threads)},
    )


def serve(name: str, vectors: pathlib.Path, threads: int) -> None:
    """A worker's side: builds or loads, then answers the commands that come, a line each."""
    module, kind = CONTENDERS[name]
    made = getattr(importlib.import_module(f"benchmarks.contenders.{module}"), kind)
    start = time.perf_counter()
    contender = made(vectors, vectors, threads)
    started = time.perf_counter() - start
    queries = np.load(vectors / "queries.npy")[CHOOSING : CHOOSING + MEASURED]

    def answer(what: str, *arguments):
        if what == "start":
            costs = getattr(contender, "costs", {"seconds": started})
            return {"memory": memory("VmHWM"), **costs}
        if what == "settings":
            return contender.settings
        if what == "memory":
            return memory("VmRSS")
        contender.use(arguments[0])
        if what == "found":
            return contender.search(queries, AT).tolist()
        return timed(contender, queries, *arguments[1:])

    answer_all(answer)


def timed(contender, queries: np.ndarray, batch: int, clients: int) -> float:
    """Returns the seconds per query when each client asks for a while, a batch after the other."""
    batches = [queries[n : n + batch] for n in range(0, len(queries) - batch + 1, batch)]

    def ask(_) -> int:
        for asked, some in enumerate(itertools.cycle(batches)):
            if time.perf_counter() - start > _TIMED_SECONDS:
                return asked
            contender.search(some, AT)
        raise AssertionError("cycles never end")

    contender.search(batches[0], AT)  # Fills caches with this setting's.
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        start = time.perf_counter()
        answered = sum(pool.map(ask, range(clients)))
        return (time.perf_counter() - start) / answered / batch


class Recall:
    """Recall@100 against exact search, of positions that contenders give."""

    def __init__(self, vectors: pathlib.Path):
        self._items = np.load(vectors / "items.npy", mmap_mode="r")
        self._queries = np.load(vectors / "queries.npy")[CHOOSING : CHOOSING + MEASURED]
        rows = max(1, _SCORES_AT_A_TIME // len(self._queries))
        best = np.empty([len(self._queries), 0], np.float32)
        for start in range(0, len(self._items), rows):
            scores = self._queries @ self._items[start : start + rows].T
            best = np.concatenate([best, scores], axis=1)
            best = -np.partition(-best, AT - 1, axis=1)[:, :AT]
        self._bounds = best.min(axis=1) - _TOLERANCE

    def of(self, found: list[list[int]]) -> float:
        """Returns the mean share of the exact top 100 that was found; no item counts twice."""
        hits = 0
        for query, row, bound in zip(self._queries, found, self._bounds, strict=True):
            positions = np.unique([position for position in row if position >= 0])
            hits += int(np.sum(self._items[positions] @ query >= bound))
        return hits / (len(found) * AT)


def measure(flags: argparse.Namespace, vectors: pathlib.Path) -> dict:
    """Builds what is not there yet, then measures with each number of threads."""
    builds = {name: built(name, vectors, max(flags.threads)) for name in flags.contenders}
    recall = Recall(vectors)
    threads = {str(count): with_threads(count, flags, vectors, recall) for count in flags.threads}
    return {"builds": builds, "threads": threads}


def built(name: str, vectors: pathlib.Path, threads: int) -> dict:
    """Builds an index, unless an earlier run has; returns the build's seconds and peak memory.

    Ours say apart how long the automatic choice of one extent takes, which the peers don't have.
    """
    file = vectors / f"{name}.build.json"
    if not file.exists():
        worker = worker_of(name, vectors, threads)
        cost = worker.ask("start") | {"threads": threads}
        worker.stop()
        file.write_text(json.dumps(cost))
    return json.loads(file.read_text())


def with_threads(
    threads: int, flags: argparse.Namespace, vectors: pathlib.Path, recall: Recall
) -> dict:
    """Returns the contenders' curves, and their rates in turns at the wanted recall."""
    workers = [worker_of(name, vectors) for name in flags.contenders]
    curves = {worker.name: curve(worker, threads, flags, recall) for worker in workers}
    held = {worker.name: worker.ask("memory") for worker in workers}
    turns = {}
    for batch in flags.batches:
        chosen = {name: fastest(points, batch, flags.recall) for name, points in curves.items()}
        seconds = {name: [] for name, point in chosen.items() if point}
        for _ in range(flags.rounds):
            for worker in workers:
                if worker.name in seconds:
                    setting = chosen[worker.name]["setting"]
                    seconds[worker.name].append(worker.ask("timed", setting, batch, threads))
        turns[str(batch)] = {
            name: chosen[name]
            | {"queries_per_second": 1 / statistics.median(each), "seconds_per_query": each}
            for name, each in seconds.items()
        }
    for worker in workers:
        worker.stop()
    return {"curves": curves, "serving_memory_bytes": held, "at_recall": turns}


def curve(worker: Worker, threads: int, flags: argparse.Namespace, recall: Recall) -> list[dict]:
    """Returns a contender's recall, and seconds a query by batch, at each of its settings.

    What reaches less than the lowest recall of interest is not timed.
    """
    points = []
    for setting in worker.ask("settings"):
        reached = recall.of(worker.ask("found", setting))
        if reached >= flags.lowest:
            # The least of a few: one disturbed moment would have another setting chosen.
            seconds = {
                str(batch): min(
                    worker.ask("timed", setting, batch, threads) for _ in range(_TIMINGS)
                )
                for batch in flags.batches
            }
            points.append({"setting": setting, "recall": reached, "seconds": seconds})
    return points


def fastest(points: list[dict], batch: int, recall: float) -> dict | None:
    """Returns the setting with the least time a query among those with the recall, if any."""
    good = [point for point in points if point["recall"] >= recall]
    best = min(good, key=lambda point: point["seconds"][str(batch)], default=None)
    return best and {"setting": best["setting"], "recall": best["recall"]}


def frontier(points: list[dict], batch: int) -> list[tuple[float, float]]:
    """Returns (recall, queries a second), recall descending, without what another point beats."""
    pairs = sorted(((p["recall"], 1 / p["seconds"][str(batch)]) for p in points), reverse=True)
    kept: list[tuple[float, float]] = []
    for recall, rate in pairs:
        if not kept or rate > kept[-1][1]:
            kept.append((recall, rate))
    return kept


def plot(report: dict, file: pathlib.Path) -> None:
    """Draws recall against queries a second, a panel for each number of threads and batch."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [(t, b) for t, one in report["threads"].items() for b in one["at_recall"]]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(5 * len(panels), 4), squeeze=False)
    for axis, (threads, batch) in zip(axes[0], panels, strict=True):
        for name, points in report["threads"][threads]["curves"].items():
            if points:
                recalls, rates = zip(*frontier(points, int(batch)), strict=True)
                style = "o-" if name in OURS else "x--"
                axis.plot(recalls, rates, style, label=name)
        axis.set(yscale="log", xlabel="recall@100", ylabel="queries a second")
        axis.set_title(f"{report['items']:,} items, {threads} thread(s), batch {batch}")
        axis.axvline(report["recall"], color="grey", linewidth=0.5)
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def show(report: dict) -> None:
    """Prints the report as tables."""
    print(f"{report['items']:,} items of {report['dim']} dimensions")
    for name, build in report["builds"].items():
        peak = build["memory"] / 2**30
        chosen = build.get("choosing_seconds")
        print(
            f"{name:12} built in {build['seconds']:7.1f} s, peak memory {peak:5.2f} GB"
            + (f", extent chosen in {chosen:.1f} s" if chosen else "")
        )
    for threads, one in report["threads"].items():
        for batch, turns in one["at_recall"].items():
            print(f"-- {threads} thread(s), batch {batch}, recall@100 of {report['recall']}")
            best = max(turn["queries_per_second"] for turn in turns.values())
            for name, turn in turns.items():
                rate = turn["queries_per_second"]
                print(
                    f"{name:12} {rate:9,.0f} queries/s  {1000 / rate:7.3f} ms a query"
                    f"  {rate / best:6.1%} of the fastest  recall {turn['recall']:.4f}"
                    f"  {turn['setting']}"
                )
            for name in sorted(set(one["curves"]) - set(turns)):
                print(f"{name:12} does not reach this recall")


def main() -> None:
    """Measures one catalogue size, prints tables, writes index.json and index.png."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="folder for index.json and index.png")
    parser.add_argument("--items", type=int, default=30_000)
    parser.add_argument("--steps", type=int, default=150, help="training steps for the vectors")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--recall", type=float, default=0.97)
    parser.add_argument("--lowest", type=float, default=0.8, help="recall not timed below")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--folder", type=pathlib.Path, help="keeps vectors and indexes for again")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.items < _FEWEST_ITEMS:
        parser.error(f"--items must be at least {_FEWEST_ITEMS}: fewer have too few users to ask")
    if flags.worker:
        serve(flags.worker, flags.folder, flags.threads[0])
        return
    with tempfile.TemporaryDirectory() as temporary:
        # In a process of its own, so that training's memory and threads are gone afterwards.
        size = f"{flags.items}-{CHOOSING + MEASURED}-{flags.steps}"
        made = (flags.folder or pathlib.Path(temporary)) / f"vectors-{size}"
        command = [sys.executable, "-m", "benchmarks.contenders.vectors", str(made)]
        numbers = (flags.items, CHOOSING + MEASURED, flags.steps)
        subprocess.run([*command, *map(str, numbers)], check=True)
        report = measure(flags, made)
    report |= {"items": flags.items, "dim": 128, "at": AT, "recall": flags.recall}
    show(report)
    if flags.out:
        flags.out.mkdir(parents=True, exist_ok=True)
        (flags.out / "index.json").write_text(json.dumps(report, indent=1) + "\n")
        plot(report, flags.out / "index.png")


if __name__ == "__main__":
    main()
