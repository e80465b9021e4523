"""Figure 6 of Covington et al. (RecSys 2016): what features and depth are worth, by holdout MAP.

    python -m benchmarks.features_and_depth --out=DIR
    python -m benchmarks.features_and_depth --quick

The demo's features on its simulated logs, some and all of them, in plain towers with
0 to 3 hidden layers, an eighth as wide as the paper's: none; 32; 64-32; 128-64-32; each followed
by the vector of 32. As in the paper they are the query's; the candidate's vector is linear in its
features (--both: both towers have them). Simulated logs have no searches: what the second row adds
to the watches is what the videos are about. MAP is over the whole catalogue: with one relevant item
an example it is the mean of 1 / rank. Writes features_and_depth.json and features_and_depth.png.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)
from twotower_tf.binding import bind
from twotower_tf.config import Config
from twotower_tf.config.tower import TowerSection
from twotower_tf.config_loader import load_config
from twotower_tf.examples.building.build import build_examples
from twotower_tf.simulator.simulator import Simulator, SimulatorSettings
from twotower_tf.storage import Workdir
from twotower_tf.studies.variants import Figure, train_and_measure

_CONFIG = pathlib.Path(__file__).with_suffix(".yaml")
_CONTENT = ["item_id", "channel_id", "topics", "title", "duration_seconds"]
# Of the query and of the candidate; None: all that the demo has.
FEATURES: dict[str, tuple[list[str] | None, list[str] | None]] = {
    "watches": (["history"], ["item_id"]),
    "watches, content": (["history"], _CONTENT),
    "watches, content, age": (["history"], [*_CONTENT, "video_age"]),
    "all": (None, None),
}
HIDDEN: list[list[int]] = [[], [32], [64, 32], [128, 64, 32]]
MEASURED = 3


def configuration(
    features: str, hidden: list[int], seed: int, both: bool = False, passes: int = 1
) -> Config:
    """Returns the configuration with some of the demo's features, and hidden layers.

    Args:
        features: A key of ``FEATURES``.
        hidden: The widths of the query's hidden layers.
        seed: Of the model.
        both: Whether the candidate has the same hidden layers, rather than none.
        passes: How often each day is trained on.
    """
    sets = ["training.tensorboard=false", f"training.passes_per_day={passes}", f"seed={seed}"]
    config = load_config(str(_CONFIG), sets)
    of_query, of_candidate = FEATURES[features]
    towers = {
        "query": _with(config.query, of_query, hidden),
        "candidate": _with(config.candidate, of_candidate, hidden if both else []),
    }
    used = {getattr(one, "table", None) for tower in towers.values() for one in tower.features}
    tables = {name: table for name, table in config.tables.items() if name in used}
    return config.model_copy(update={**towers, "tables": tables})


def _with(tower: TowerSection, names: list[str] | None, hidden: list[int]) -> TowerSection:
    kept = [one for one in tower.features if names is None or one.name in names]
    return tower.model_copy(update={"features": kept, "layers": [*hidden, tower.dimension]})


def measure(flags: argparse.Namespace, folder: pathlib.Path) -> dict:
    """Trains and measures every cell, with every seed; returns their figures by features."""
    sizes = {"days": 3, "events_per_day": 3000} if flags.quick else {"days": 7}
    simulator = Simulator(SimulatorSettings(**sizes))
    simulator.write(str(folder / "logs"))
    days = simulator.dates
    cells: dict[str, list[dict]] = {}
    print(f"{'':24}" + "".join(f"{_layers(hidden):>18}" for hidden in HIDDEN), flush=True)
    for features in FEATURES:
        config = configuration(features, [], 1)
        place = folder / features.replace(", ", "-")
        built = Workdir(str(place / "built"))
        bind(built, config)
        build_examples(config, built, str(folder / "logs"), days)
        cells[features] = []
        for hidden in HIDDEN:
            start = time.monotonic()
            runs = [
                train_and_measure(
                    configuration(features, hidden, seed, flags.both, flags.passes),
                    built,
                    str(place / f"{len(hidden)}-{seed}"),
                    days,
                    days[-MEASURED:],
                )
                for seed in range(1, 1 + flags.seeds)
            ]
            figures = _figures(runs, config.evaluation.at)
            cells[features].append(
                {"hidden": hidden, "seconds": time.monotonic() - start} | figures
            )
        maps = [f"{Figure(**cell['map'])!s:>18}" for cell in cells[features]]
        print(f"{features:24}{''.join(maps)}", flush=True)
    return cells


def _figures(runs: list[list[dict]], at: list[int]) -> dict:
    """Returns MAP and recall: means over the days, with their standard errors over seeds."""
    models = [[day["methods"]["model"] for day in days] for days in runs]

    def figure(of) -> dict:
        return vars(Figure.of([statistics.mean(map(of, days)) for days in models]))

    recall = {str(k): figure(lambda one, k=k: one["recall"][str(k)]) for k in at}
    return {"map": figure(lambda one: one["mrr"]), "recall": recall}


def _layers(hidden: list[int]) -> str:
    return "-".join(map(str, hidden)) or "none"


def draw(cells: dict[str, list[dict]], path: pathlib.Path) -> None:
    """Draws MAP over depth, a line a set of features."""
    # The Figure class draws without a display, where pyplot would look for one.
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(6.4, 4.2), dpi=150, layout="constrained")
    axes = picture.add_subplot()
    for features, row in cells.items():
        axes.errorbar(
            range(len(row)),
            [cell["map"]["mean"] for cell in row],
            yerr=[cell["map"]["standard_error"] or 0.0 for cell in row],
            marker="o",
            label=features,
        )
    axes.set_xticks(range(len(HIDDEN)), [_layers(hidden) for hidden in HIDDEN])
    axes.set_xlabel("hidden layers")
    axes.set_ylabel("holdout MAP")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    picture.savefig(path, metadata={"Software": None})


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, help="a folder for the JSON and the figure")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each cell")
    parser.add_argument("--both", action="store_true", help="hidden layers in both towers")
    parser.add_argument("--passes", type=int, default=1, help="over each day")
    parser.add_argument("--quick", action="store_true", help="three small days")
    parser.add_argument("--workdir", type=pathlib.Path, help="keeps what is built and trained")
    flags = parser.parse_args(arguments)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        cells = measure(flags, flags.workdir or pathlib.Path(temporary))
    if flags.out:
        flags.out.mkdir(parents=True, exist_ok=True)
        report = {
            "settings": {
                **{name: vars(flags)[name] for name in ("seeds", "both", "passes", "quick")},
                "measured_days": MEASURED,
            },
            "features": cells,
            "seconds": time.monotonic() - start,
        }
        text = json.dumps(report, indent=1) + "\n"
        (flags.out / "features_and_depth.json").write_text(text)
        draw(cells, flags.out / "features_and_depth.png")


if __name__ == "__main__":
    main()
