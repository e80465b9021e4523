"""Table 1 of Yi et al. (RecSys 2019): which pages does a page of Wikipedia link to, by loss.

    python -m benchmarks.wikipedia_links --out=wikipedia_links.json
    python -m benchmarks.wikipedia_links --quick

The pages are Wikispeedia's 4,604 articles and their 119,882 links (--data: its folder). As in the
paper: query and candidate are a page's id, its title's n-grams and its categories, whose embeddings
the towers share; towers [512, 128], batches of 1024, Adagrad at 0.01, a tenth of the links held
out, all pages ranked. The links are the events of one day, which the pipeline builds, trains on
several times and evaluates, as any log. What differs: the number of pages, with it that of buckets;
the estimator, which is the default one; and the passes, of which the paper does not tell.
"""

import argparse
import json
import pathlib
import random
import tempfile
import time
from collections.abc import Iterator
from urllib.parse import unquote

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)
from twotower_tf.binding import bind
from twotower_tf.config import Config
from twotower_tf.datasets.wikispeedia import read_articles
from twotower_tf.examples.building.build import build_examples
from twotower_tf.storage import Workdir, parse_day
from twotower_tf.studies.variants import Figure, train_and_measure

_SHARED = pathlib.Path("../shared/data/wikispeedia")
DAY = parse_day("2008-01-01", "the day of all links")
_MIDNIGHT = 1_199_145_600
AT = [10, 50, 100, 300]
TEMPERATURES = [0.05, 0.07, 0.14]
SOFTMAX = ["plain_softmax", "corrected_softmax"]
# By loss and temperature: the paper's R@10, R@50, R@100 and R@300.
PUBLISHED = {
    "mse_gramian": [0.0432, 0.1326, 0.2027, 0.3530],
    "plain_softmax 0.05": [0.0579, 0.2259, 0.3573, 0.5931],
    "plain_softmax 0.07": [0.0643, 0.2423, 0.3746, 0.5991],
    "plain_softmax 0.14": [0.0614, 0.2216, 0.3341, 0.5200],
    "corrected_softmax 0.05": [0.0987, 0.3202, 0.4835, 0.7413],
    "corrected_softmax 0.07": [0.1065, 0.3079, 0.4664, 0.7234],
    "corrected_softmax 0.14": [0.0807, 0.2411, 0.3519, 0.5529],
}


def configuration(loss: dict, passes: int, seed: int) -> Config:
    """Returns the paper's model of pages, with a loss."""

    def features(page: str) -> list[dict]:
        return [
            {"name": page, "kind": "id", "table": "pages"},
            {"name": "title", "kind": "text", "table": "words", "ngrams": 2},
            {"name": "categories", "kind": "id_bag", "table": "categories", "combiner": "sum"},
        ]

    return Config.model_validate(
        {
            "name": "links",
            "seed": seed,
            "source": {
                "events": {"path": "links.jsonl"},
                "items": {"path": "articles.tsv", "format": "wikispeedia_articles"},
            },
            "examples": {"shards": 4, "history_length": 1, "holdout_share": 0.1},
            "tables": {
                "pages": {"buckets": 40_000, "dim": 64},
                "words": {"buckets": 40_000, "dim": 64},
                "categories": {"buckets": 4_000, "dim": 64},
            },
            "query": {"features": features("page_id"), "layers": [512, 128], "dropout": 0.0},
            "candidate": {"features": features("item_id"), "layers": [512, 128], "dropout": 0.0},
            "loss": loss,
            "estimator": {"buckets": 40_000, "alpha": 0.01},
            "optimizer": {"kind": "adagrad", "learning_rate": 0.01, "layer_rate": 1.0},
            "training": {
                "batch_size": 1024,
                "tensorboard": False,
                "backfill": {"days": 1, "passes": passes, "shuffle": True},
            },
            "evaluation": {"at": AT},
        }
    )


def variants(temperatures: list[float]) -> dict[str, dict]:
    """Returns the losses of the table, by the names of its rows."""
    softmax = {
        f"{kind} {temperature}": {"kind": kind, "temperature": temperature}
        for kind in SOFTMAX
        for temperature in temperatures
    }
    return {"mse_gramian": {"kind": "mse_gramian"}, **softmax}


def write_source(data: pathlib.Path, folder: pathlib.Path, share: float = 1.0) -> int:
    """Writes the links as events, beside the pages as they are; returns how many links.

    The user is the page that links; the links come in random order, all on one day.

    Args:
        data: Wikispeedia's ``links.tsv``, ``articles.tsv`` and ``categories.tsv``.
        folder: Made if it is not there.
        share: Of the links, to make it quick.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("articles.tsv", "categories.tsv"):
        (folder / name).write_bytes((data / name).read_bytes())
    pages = {page["item_id"]: page for _, page in read_articles(str(folder / "articles.tsv"))}
    links = list(_links(data / "links.tsv"))
    random.Random(1).shuffle(links)
    links = links[: round(share * len(links))]
    with open(folder / "links.jsonl", "w", encoding="utf-8") as file:
        for number, (page_id, item_id) in enumerate(links):
            event = {
                "user_id": page_id,
                "page_id": page_id,
                "title": pages[page_id]["title"],
                "categories": pages[page_id]["categories"],
                "item_id": item_id,
                "timestamp": _MIDNIGHT + number * 86_400 // len(links),
            }
            file.write(json.dumps(event) + "\n")
    return len(links)


def _links(path: pathlib.Path) -> Iterator[list[str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield [unquote(name) for name in line.split("\t")]


def measure(flags: argparse.Namespace, folder: pathlib.Path) -> dict:
    """Trains and measures every row of the table, with every seed; returns their figures."""
    links = write_source(flags.data, folder / "source", 0.2 if flags.quick else 1.0)
    plain = configuration({"kind": "plain_softmax"}, flags.passes, 1)
    built = Workdir(str(folder / "built"))
    bind(built, plain)
    counts = build_examples(plain, built, str(folder / "source"), [DAY])[DAY]
    print(f"{links:,} links: {counts['examples']:,} to train on, {counts['held_out']:,} held out")
    print(_HEAD, flush=True)
    rows = {}
    for name, loss in variants(flags.temperatures).items():
        start = time.monotonic()
        days = [
            train_and_measure(
                configuration(loss, flags.passes, seed),
                built,
                str(folder / f"{name.replace(' ', '-')}-{seed}"),
                [DAY],
                [DAY],
            )[0]
            for seed in range(1, 1 + flags.seeds)
        ]
        recalls = [day["methods"]["model"]["recall"] for day in days]
        figures = {k: Figure.of([one[str(k)] for one in recalls]) for k in AT}
        rows[name] = {
            "recall": {str(k): vars(figure) for k, figure in figures.items()},
            "published": dict(zip(map(str, AT), PUBLISHED.get(name, []), strict=False)),
            "seconds": time.monotonic() - start,
        }
        print(_row(name, figures, rows[name]["seconds"]), flush=True)
    popular = days[0]["methods"]["most_popular"]["recall"]
    print(_row("most popular pages", {k: Figure.of([popular[str(k)]]) for k in AT}, 0))
    return {"links": links, "counts": counts, "rows": rows, "most_popular": popular}


_HEAD = f"{'':26}" + "".join(f"{f'R@{k}':>18}" for k in AT) + "   seconds"


def _row(name: str, figures: dict[int, Figure], seconds: float) -> str:
    cells = "".join(f"{figure!s:>18}" for figure in figures.values())
    return f"{name:26}{cells}{seconds:10.0f}"


def ratios(rows: dict) -> list[tuple[str, int, float, float]]:
    """Returns each row's recall over that of the plain softmax at its temperature.

    As (row, K, ours, the paper's); mse-gramian's is over the best plain softmax, by R@100.
    """
    plain = [name for name in rows if name.startswith("plain")]
    best = max(plain, key=lambda name: rows[name]["recall"]["100"]["mean"])
    result = []
    for name, row in rows.items():
        if name in plain:
            continue
        beside = name.replace("corrected", "plain") if name.startswith("corrected") else best
        for k in AT:
            ours = row["recall"][str(k)]["mean"] / rows[beside]["recall"][str(k)]["mean"]
            theirs = PUBLISHED[name][AT.index(k)] / PUBLISHED[beside][AT.index(k)]
            result.append((f"{name} / {beside}", k, ours, theirs))
    return result


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parses the flags."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, help="a file for the figures, as JSON")
    parser.add_argument("--data", type=pathlib.Path, default=_SHARED, help="Wikispeedia's folder")
    parser.add_argument("--passes", type=int, default=10, help="over the links")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each row")
    parser.add_argument(
        "--temperatures", type=float, nargs="+", choices=TEMPERATURES, default=TEMPERATURES
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the links, two passes")
    parser.add_argument("--workdir", type=pathlib.Path, help="keeps what is built and trained")
    flags = parser.parse_args(arguments)
    if flags.quick:
        flags.passes, flags.temperatures = 2, [0.07]
    return flags


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    flags = parse(arguments)
    if not (flags.data / "links.tsv").exists():
        print(f"left out: there is no {flags.data}/links.tsv; give Wikispeedia's folder as --data")
        return
    with tempfile.TemporaryDirectory() as temporary:
        report = measure(flags, flags.workdir or pathlib.Path(temporary))
    for pair, k, ours, theirs in ratios(report["rows"]):
        print(f"{pair:50} R@{k:<4} ours {ours:6.3f}   published {theirs:6.3f}")
    if flags.out:
        settings = {"passes": flags.passes, "seeds": flags.seeds, "quick": flags.quick}
        flags.out.write_text(json.dumps({"settings": settings, **report}, indent=1) + "\n")


if __name__ == "__main__":
    main()
