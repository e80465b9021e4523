"""Table 1 of Covington et al. (RecSys 2016): ranking by hidden layers, powers and weights.

    python -m benchmarks.ranking_depth --out=DIR
    python -m benchmarks.ranking_depth --quick

The weighted, per-user loss (section 4.3) of held-out pages of the simulated platform, by the hidden
layers of the ranking model; without x^2 and sqrt(x); with positives that weigh one; without what
was shown in vain; and with odds that are the expected watch time itself. Each model is trained on
the same days; the loss is the mean of the last days', after training on each. With it that of the
baselines. Writes ranking_depth.json and ranking_depth.png; --rows is for some of the models alone.
"""

import argparse
import datetime
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Sequence

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)
from twotower_tf.binding import bind
from twotower_tf.config import Config
from twotower_tf.config_loader import load_config
from twotower_tf.evaluation.ranking.protocol import RankingEvaluator
from twotower_tf.examples.building.build import build_examples
from twotower_tf.simulator.simulator import Simulator, SimulatorSettings
from twotower_tf.storage import Workdir
from twotower_tf.studies.variants import Figure, share_examples
from twotower_tf.training.ranking_trainer import RankingTrainer

_CONFIG = pathlib.Path(__file__).with_suffix(".yaml")
_WIDEST = [1024, 512, 256]
# What the paper has, by the layers of each row, in %.
PUBLISHED = {
    "none": 41.6,
    "256": 36.9,
    "512": 36.7,
    "1024": 35.8,
    "512-256": 35.2,
    "1024-512": 34.7,
    "1024-512-256": 34.6,
    "1024-512-256, no powers": 34.8,
    "1024-512-256, equal weights": 38.7,
}
# The keys of ``ranking`` of each row.
ROWS: dict[str, dict] = {
    "none": {"layers": []},
    **{str(width): {"layers": [width]} for width in (256, 512, 1024)},
    "512-256": {"layers": [512, 256]},
    "1024-512": {"layers": [1024, 512]},
    "1024-512-256": {"layers": _WIDEST},
    "1024-512-256, no powers": {"layers": _WIDEST, "powers": False},
    "1024-512-256, equal weights": {"layers": _WIDEST, "weight_by_watch_time": False},
    "1024-512-256, no churn": {"layers": _WIDEST, "churn": False},
    "1024-512-256, exact odds": {"layers": _WIDEST, "exact_odds": True},
}
MEASURED = 3


def configuration(row: str, seed: int, passes: int = 1) -> Config:
    """Returns the configuration of a row.

    Args:
        row: A key of ``ROWS``.
        seed: Of the model.
        passes: How often each day is trained on.
    """
    config = load_config(str(_CONFIG), [f"seed={seed}"])
    training = {**config.ranking.training.model_dump(), "passes_per_day": passes}
    ranking = {**config.ranking.model_dump(), **ROWS[row], "training": training}
    return Config.model_validate({**config.model_dump(by_alias=True), "ranking": ranking})


def train_and_measure(
    config: Config, built: Workdir, root: str, days: Sequence[datetime.date]
) -> list[dict]:
    """Trains a row on days in order; returns what was measured after each of the last ones."""
    workdir = share_examples(built, root)
    trainer = RankingTrainer(config, workdir)
    evaluator = RankingEvaluator(trainer.config, workdir, trainer.model)
    measured = []
    for day in days:
        trainer.train_day(day)
        if day in days[-MEASURED:]:
            measured.append(evaluator.evaluate(day, day))
    return measured


def loss_of(runs: Sequence[Sequence[dict]], method: str) -> Figure:
    """Returns a method's loss in %: the mean over days, with its standard error over seeds."""
    return Figure.of(
        [
            100 * statistics.mean(day["methods"][method]["user_loss"] for day in days)
            for days in runs
        ]
    )


def measure(flags: argparse.Namespace, folder: pathlib.Path) -> dict:
    """Trains and measures rows, with every seed; returns their losses and those of baselines."""
    sizes = {"days": 5, "pages_per_day": 5000}
    if flags.quick:
        sizes = {"days": 3, "events_per_day": 3000, "pages_per_day": 300}
    simulator = Simulator(SimulatorSettings(**sizes))
    simulator.write(str(folder / "logs"))
    days, config = simulator.dates, configuration("none", 1)
    built = Workdir(str(folder / "built"))
    bind(built, config)
    build_examples(config, built, str(folder / "logs"), days)
    losses: dict[str, dict] = {}
    for row in flags.rows:
        start = time.monotonic()
        runs = [
            train_and_measure(
                configuration(row, seed, flags.passes),
                built,
                str(folder / f"{row.replace(', ', '-').replace(' ', '-')}-{seed}"),
                days,
            )
            for seed in range(1, 1 + flags.seeds)
        ]
        if not losses:
            methods = [one for one in runs[0][0]["methods"] if one != "model"]
            losses = {one.replace("_", " "): vars(loss_of(runs, one)) for one in methods}
            for name, loss in losses.items():
                _print(name, loss)
        losses[row] = vars(loss_of(runs, "model")) | {"seconds": time.monotonic() - start}
        _print(row, losses[row])
    return losses


def _print(name: str, loss: dict) -> None:
    error = "" if loss["standard_error"] is None else f" ± {loss['standard_error']:.2f}"
    published = f"published {PUBLISHED[name]:.1f} %" if name in PUBLISHED else ""
    print(f"{name:30}{loss['mean']:>8.2f}{error} %   {published}", flush=True)


def draw(losses: dict[str, dict], path: pathlib.Path) -> None:
    """Draws the loss of each row, beside what was published."""
    # The Figure class draws without a display, where pyplot would look for one.
    from matplotlib.figure import Figure as Picture

    picture = Picture(figsize=(7.2, 0.6 + 0.36 * len(losses)), dpi=150, layout="constrained")
    axes = picture.add_subplot()
    places = range(len(losses))
    axes.barh(
        places,
        [loss["mean"] for loss in losses.values()],
        xerr=[loss["standard_error"] or 0.0 for loss in losses.values()],
        label="here",
    )
    published = [place for place, name in zip(places, losses, strict=True) if name in PUBLISHED]
    names = list(losses)
    values = [PUBLISHED[names[place]] for place in published]
    axes.plot(values, published, "D", color="#444444", markersize=4, label="published")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel("weighted, per-user loss, %")
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    picture.savefig(path, metadata={"Software": None})


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, help="a folder for JSON and picture")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each row")
    parser.add_argument("--passes", type=int, default=1, help="over each day")
    parser.add_argument("--quick", action="store_true", help="three small days")
    flags = parser.parse_args(arguments)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        losses = measure(flags, pathlib.Path(temporary))
    if flags.out:
        flags.out.mkdir(parents=True, exist_ok=True)
        settings = {name: vars(flags)[name] for name in ("seeds", "passes", "quick")}
        report = {"settings": settings, "losses": losses, "seconds": time.monotonic() - start}
        text = json.dumps(report, indent=1) + "\n"
        (flags.out / "ranking_depth.json").write_text(text)
        draw(losses, flags.out / "ranking_depth.png")


if __name__ == "__main__":
    main()
