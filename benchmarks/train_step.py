"""Examples a second of a training step, against the stock TFRS task, PyTorch and the machine.

    python -m benchmarks.train_step --out=FILE.json
    python -m benchmarks.train_step --batch=1024 --layers 64 32

The model: a table of a million buckets x 64 shared by seed, history of 20 and item; Zipf(1.0) over
a million items; Adagrad. Contenders, each a process of its own so that its peak memory is its own,
take turns, a few steps each, so that what else the machine does falls on all alike:

- ours: the default loss (each distinct item once) and estimator, deterministic, string ids
- stock: `tfrs.tasks.Retrieval(remove_accidental_hits=True)` on our towers, not deterministic
- torch: the same model in PyTorch, sparse gradients, the B x B logits
- torch_distinct: PyTorch with our idea, each distinct item once; only if asked for
- products: a large matrix product, nothing else: the machine's limit
- own_products: the products of our step in their own shapes, nothing else: the limit they leave

First all train a few steps with one loss (corrected by the true frequencies, accidental hits
masked) from the same weights: the losses must agree, or nothing is measured.
"""

import argparse
import gc
import importlib
import json
import pathlib
import statistics
import tempfile
import time

import numpy as np

from benchmarks.contenders.memory import memory
from benchmarks.contenders.problem import HISTORY, Problem, draw
from benchmarks.contenders.worker import Worker, answer_all

CONTENDERS = {
    "ours": ("ours", "Contender", {}),
    "stock": ("stock", "Contender", {}),
    "torch": ("pytorch", "Contender", {}),
    "torch_distinct": ("pytorch", "Contender", {"distinct": True}),
    "products": ("products", "Contender", {}),
    "own_products": ("products", "OwnProducts", {}),
}
_BATCHES = 4
_AGREEING_STEPS = 3
_TOLERANCE = 1e-5
# A B x B contender holds so many matrices at its peak, about: logits, labels, masks, gradients.
_MATRICES = {"stock": 6, "torch": 4}


def write_batches(folder: pathlib.Path, batch: int, buckets: int) -> float:
    """Draws the batches, as numbers of items and as rows of the table; returns the mean D."""
    from benchmarks.contenders.ours import names

    import tensorflow as tf  # isort: skip

    from twotower_tf.models.embeddings import row_of

    random = np.random.default_rng(0)
    numbers = {
        "seed": draw(random, _BATCHES * batch).reshape(_BATCHES, batch),
        "item": draw(random, _BATCHES * batch).reshape(_BATCHES, batch),
        "history": draw(random, _BATCHES * batch * HISTORY).reshape(_BATCHES, batch, HISTORY),
    }
    rows = {
        name: row_of(tf.constant(names(values)), buckets).numpy()
        for name, values in numbers.items()
    }
    np.savez(folder / "numbers.npz", **numbers)
    np.savez(folder / "rows.npz", **rows)
    return statistics.mean(len(np.unique(items)) for items in numbers["item"])


def worker_of(name: str, folder: pathlib.Path, flags: argparse.Namespace) -> Worker:
    """Starts a contender on the problem that the flags describe."""
    return Worker(
        name,
        "benchmarks.train_step",
        f"--folder={folder}",
        f"--batch={flags.batch}",
        f"--buckets={flags.buckets}",
        f"--sketch={flags.sketch}",
        "--layers",
        *map(str, flags.layers),
    )


def serve(name: str, problem: Problem) -> None:
    """A worker's side: answers the commands that come, a line each, until there are no more."""
    module, kind, options = CONTENDERS[name]
    made = getattr(importlib.import_module(f"benchmarks.contenders.{module}"), kind)
    contender = made(problem, **options)

    def answer(what: str):
        if what == "losses":
            return contender.losses(_AGREEING_STEPS)
        if what == "memory":
            return memory("VmHWM")
        start = time.perf_counter()
        loss = contender.step()
        if what == "step":
            return time.perf_counter() - start
        gc.collect()
        # The peak from here on is that of the steps, not of how the weights were made.
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        return loss

    answer_all(answer)


def fits(name: str, batch: int) -> bool:
    """Whether a contender's B x B matrices fit into the memory that is free."""
    available = memory("MemAvailable", "/proc/meminfo")
    return _MATRICES.get(name, 0) * 4 * batch**2 < available


def problem_of(flags: argparse.Namespace, folder: pathlib.Path) -> Problem:
    """What the flags describe."""
    return Problem(flags.batch, tuple(flags.layers), flags.buckets, flags.sketch, folder)


def measure(flags: argparse.Namespace, folder: pathlib.Path) -> dict:
    """Starts the contenders, checks that they agree, lets them take turns."""
    distinct = write_batches(folder, flags.batch, flags.buckets)
    problem = problem_of(flags, folder)
    names = [name for name in flags.contenders if fits(name, flags.batch)]
    workers = [worker_of(name, folder, flags) for name in names]
    training = [worker for worker in workers if "products" not in worker.name]
    # One alone has nobody to agree with, and its memory stays that of one model.
    losses = {worker.name: worker.ask("losses") for worker in training if len(training) > 1}
    agree(list(losses.values()))
    for worker in workers:
        worker.ask("warm")  # Traces, allocates.
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(flags.rounds):
        for worker in workers:
            # The first of a turn finds the caches cold.
            worker.ask("step")
            taken[worker.name] += [worker.ask("step") for _ in range(flags.steps)]
    peaks = {worker.name: worker.ask("memory") for worker in workers}
    for worker in workers:
        worker.stop()
    seconds = {name: statistics.median(each) for name, each in taken.items()}
    left_out = sorted(set(flags.contenders) - set(names))
    return {
        "losses": losses,
        "distinct": distinct,
        "seconds": taken,
        "left_out": dict.fromkeys(left_out, "its B x B matrices would not fit in memory"),
    } | summary(problem, distinct, seconds, peaks)


def agree(losses: list[list[float]]) -> None:
    """Raises an error unless all contenders had the same losses."""
    for one in losses[1:]:
        np.testing.assert_allclose(one, losses[0], rtol=_TOLERANCE)


def summary(problem: Problem, distinct: float, seconds: dict, memory: dict) -> dict:
    """Rates, ratios to ours, and our share of the machine's limit."""
    from benchmarks.contenders.products import OPERATIONS

    rates = {name: problem.batch / each for name, each in seconds.items() if "products" not in name}
    result = {
        "examples_per_second": rates,
        "ours_over": {name: rates["ours"] / rate for name, rate in rates.items()},
        "peak_memory_bytes": memory,
        "operations": problem.products(distinct),
    }
    if "products" in seconds:
        limit = OPERATIONS / seconds["products"]
        result["limit_operations_per_second"] = limit
        result["share_of_limit"] = problem.products(distinct) / seconds["ours"] / limit
    if "own_products" in seconds:
        result["share_of_own_products"] = seconds["own_products"] / seconds["ours"]
    return result


def main() -> None:
    """Measures one size of batch and towers, prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, help="the JSON file to write")
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--layers", type=int, nargs="+", default=[1024, 512, 128])
    parser.add_argument("--buckets", type=int, default=1_000_000)
    parser.add_argument("--sketch", type=int, default=1_000_000, help="buckets of our estimator")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each contender")
    parser.add_argument("--steps", type=int, default=2, help="steps timed a turn")
    parser.add_argument(
        "--contenders",
        nargs="+",
        choices=CONTENDERS,
        default=[name for name in CONTENDERS if name != "torch_distinct"],
    )
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.worker:
        serve(flags.worker, problem_of(flags, flags.folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        report = measure(flags, pathlib.Path(folder))
    sizes = ("batch", "layers", "buckets", "sketch")
    report |= {name: getattr(flags, name) for name in sizes}
    for name, rate in report["examples_per_second"].items():
        print(
            f"{name:15} {rate:9,.0f} examples/s   ours is {report['ours_over'][name]:5.2f} times"
            f"   peak memory {report['peak_memory_bytes'][name] / 2**30:5.2f} GB"
        )
    if "share_of_limit" in report:
        limit = report["limit_operations_per_second"] / 1e9
        print(f"ours has {report['share_of_limit']:.1%} of the limit, {limit:.0f} GFLOP/s")
    if "share_of_own_products" in report:
        print(f"its own products alone take {report['share_of_own_products']:.1%} of its time")
    for name, why in report["left_out"].items():
        print(f"{name} was left out: {why}")
    if flags.out:
        flags.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
