"""The quality benchmark's figures: means and errors, tables, who was beaten, the picture."""

import math
import pathlib
import statistics

from benchmarks.quality_peers.registry import OURS, PEERS

PROTOCOLS = {
    "recall": "all held-out events; nobody removes anything",
    "recall_new": "those whose item is new to the user; everybody removes what the user had before",
}
_FIGURES = ("recall", "ndcg", "coverage", "recall_new")
_TRAINED_ONCE = "_frozen"
_COMPARED_AT = ("10", "50")


def over_seeds(runs: list[dict]) -> dict:
    """Means and standard errors of each figure; one run has no error.

    ``seconds`` are those of training, ``cpu_seconds`` all that the method's processes used.
    """
    result: dict = {"runs": len(runs)}
    for name in ("seconds", "cpu_seconds"):
        result[name] = statistics.mean(one[name] for one in runs)
    for name in _FIGURES:
        if runs[0][name] is None:
            result[name] = None
            continue
        result[name] = {}
        for k in runs[0][name]:
            values = [one[name][k] for one in runs]
            many = len(values) > 1 and None not in values
            error = statistics.stdev(values) / math.sqrt(len(values)) if many else None
            mean = statistics.mean(values) if None not in values else None
            result[name][k] = {"mean": mean, "standard_error": error}
    return result


def beaten(methods: dict[str, dict]) -> dict[str, dict]:
    """Returns for each other method, figure and K: ours over theirs, and whether it is above 1.

    Args:
        methods: By name, of ``over_seeds``; what the pipeline measured itself is left out.
    """
    result: dict = {}
    for name, theirs in methods.items() if OURS in methods else ():
        if name.removesuffix(_TRAINED_ONCE) == OURS or "/" in name:
            continue
        result[name] = {}
        for figure in ("recall", "recall_new"):
            of_ours, of_theirs = methods[OURS][figure], theirs[figure]
            if of_ours and of_theirs:
                result[name][figure] = {
                    k: _ratio(of_ours[k]["mean"], of_theirs[k]["mean"]) for k in _COMPARED_AT
                }
    return result


def _ratio(ours: float, theirs: float) -> dict:
    ratio = ours / theirs if theirs else None
    return {"beaten": ours > theirs, "ratio": ratio}


def title(method: str) -> str:
    """Returns what tables and pictures call a method."""
    name = PEERS[method.removesuffix(_TRAINED_ONCE)].title
    return f"{name}, trained once" if method.endswith(_TRAINED_ONCE) else name


HEAD = f"{'':26} " + "".join(
    f"{name:16}" for name in ("R@10", "R@50", "R@100", "NDCG@10", "coverage@10")
)
HEAD += "seconds  CPU s  new R@10/50/100"


def row(method: str, figures: dict) -> str:
    """Returns a line of the table: means ± standard errors, of all lists and of those of new items.

    Args:
        method: Its name.
        figures: Of ``over_seeds``.
    """
    cells = [*figures["recall"].values(), figures["ndcg"]["10"], figures["coverage"]["10"]]
    new = (figures["recall_new"] or {}).values()
    unseen = " ".join("-" if one["mean"] is None else f"{one['mean']:.4f}" for one in new)
    line = f"{title(method):26} " + "".join(f"{_shown(cell):16}" for cell in cells)
    return f"{line}{figures['seconds']:7.0f}{figures['cpu_seconds']:7.0f}  {unseen or '-'}"


def _shown(figure: dict) -> str:
    error = figure["standard_error"]
    return f"{figure['mean']:.4f}" + ("" if error is None else f" ±{error:.4f}")


def tables(report: dict) -> str:
    """Returns all sets' tables, and who was beaten."""
    lines: list[str] = []
    for name, one in report["data"].items():
        if "methods" not in one:
            lines += ["", f"{name}: {' '.join(one.values())}"]
            continue
        lines += ["", f"{name}: {one['held_out']:,} held out, {one['seconds']:.0f} s", HEAD]
        kept = {key: value for key, value in one["methods"].items() if "/" not in key}
        lines += [row(key, value) for key, value in kept.items()]
        lines += [f"{what} failed: {why}" for what, why in one["failed"].items()]
        lines += [
            f"  {title(OURS)} against {title(key)}: {_verdict(by_figure)}"
            for key, by_figure in one["beaten"].items()
        ]
    return "\n".join(lines)


def _verdict(by_figure: dict[str, dict]) -> str:
    labels = {"recall": "R", "recall_new": "new R"}
    parts = []
    for figure, by_k in by_figure.items():
        for k, one in by_k.items():
            ratio = "-" if one["ratio"] is None else f"{one['ratio']:.3f}"
            parts.append(f"{labels[figure]}@{k} {'yes' if one['beaten'] else 'no'} {ratio}")
    return ", ".join(parts)


def draw(report: dict, path: pathlib.Path) -> None:
    """Draws R@10 and R@50 of every method, a panel a data set, with the standard errors."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sets = {name: one for name, one in report["data"].items() if one.get("methods")}
    figure, grid = pyplot.subplots(
        1, max(1, len(sets)), figsize=(4.5 * max(1, len(sets)), 5), squeeze=False
    )
    for axes, (name, one) in zip(grid[0], sets.items(), strict=False):
        kept = {key: value for key, value in one["methods"].items() if "/" not in key}
        for shift, k in ((-0.2, "10"), (0.2, "50")):
            recalls = [value["recall"][k] for value in kept.values()]
            axes.barh(
                [row + shift for row in range(len(kept))],
                [recall["mean"] for recall in recalls],
                height=0.4,
                xerr=[recall["standard_error"] or 0.0 for recall in recalls],
                label=f"R@{k}",
            )
        axes.set_yticks(range(len(kept)), [title(key) for key in kept])
        axes.invert_yaxis()
        axes.set_title(f"{name}: {one['held_out']:,} held out")
        axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
