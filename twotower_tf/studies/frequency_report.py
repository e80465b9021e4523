"""What the estimator study found: the summary, as JSON and as a table, and the figures."""

import json
import pathlib

import numpy as np

from twotower_tf.studies.frequency_streams import MEASURED_EVERY
from twotower_tf.studies.frequency_study import SETTLED, WINDOW, Curve, Study

_OURS = "adaptive"
_TITLES = {
    "alphas": "Error of the paper's estimator for several alpha, and of ours",
    "hashes": "Hash functions at equal memory, and other ways to count",
    "new_items": f"Error on items first seen in the last {WINDOW} steps",
}
_COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#bbbbbb", "#aa3377")


def summarise(study: Study) -> dict[str, dict[str, dict[str, float]]]:
    """The figures of each curve, by study and estimator.

    Of the first two studies: `mean_error`, over all steps; `error_at_switch`, the last before the
    distribution switches; `error_after_switch`, 200 steps after; `max_ratio_to_best`, the largest
    ratio to the best fixed alpha's error at the same step, from 200 steps after the start and the
    switch on. Of the third `new_item_error`, the mean from step 1000 on, and its
    `ratio_to_best`. And everywhere `bytes`.
    """
    summary = {
        name: {key: _switching_figures(curve, study) for key, curve in curves.items()}
        for name, curves in study.curves.items()
        if name != "new_items"
    }
    newcomers = study.curves["new_items"]
    reference = np.nanmean(newcomers[study.best].errors)
    summary["new_items"] = {
        key: {
            "new_item_error": float(np.nanmean(curve.errors)),
            "ratio_to_best": float(np.nanmean(curve.errors) / reference),
            "bytes": curve.bytes,
        }
        for key, curve in newcomers.items()
    }
    return summary


def _switching_figures(curve: Curve, study: Study) -> dict[str, float]:
    errors, half = curve.errors, len(curve.errors) // 2
    settled = SETTLED // MEASURED_EVERY
    ratios = errors / study.curves["alphas"][study.best].errors
    later = np.arange(len(errors)) % half >= settled - 1
    return {
        "mean_error": float(errors.mean()),
        "error_at_switch": float(errors[half - 1]),
        "error_after_switch": float(errors[half + settled - 1]),
        "max_ratio_to_best": float(ratios[later].max()),
        "bytes": curve.bytes,
    }


def as_table(study: Study) -> str:
    """The summary for people: a row for every estimator, the best fixed alpha marked."""
    lines = []
    for name, rows in summarise(study).items():
        columns = list(next(iter(rows.values())))
        heads = [column.replace("_", " ") for column in columns]
        lines += ["", _TITLES[name], "  ".join([f"{'':26}", *heads])]
        for key, row in rows.items():
            label = f"{key} (best)" if key == study.best else key
            cells = [
                f"{row[column]:>{len(head)},}"
                if column == "bytes"
                else f"{row[column]:>{len(head)}.3f}"
                for column, head in zip(columns, heads, strict=True)
            ]
            lines.append("  ".join([f"{label:26}", *cells]))
    return "\n".join(lines[1:])


def write_study(study: Study, out: str) -> None:
    """Writes `study.json` and a PNG for each study into the folder `out`."""
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    curves = {
        name: {
            key: [None if np.isnan(error) else round(float(error), 5) for error in curve.errors]
            for key, curve in found.items()
        }
        for name, found in study.curves.items()
    }
    report = {
        "steps": study.steps,
        "measured_every": MEASURED_EVERY,
        "best_fixed_alpha": study.best,
        "summary": summarise(study),
        "curves": curves,
    }
    (folder / "study.json").write_text(json.dumps(report, indent=1) + "\n")
    for name in study.curves:
        _draw(study, name, folder / f"{name}.png")


def _draw(study: Study, name: str, path: pathlib.Path) -> None:
    # The Figure class draws without a display, where pyplot would look for one.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    others = [curve for key, curve in study.curves[name].items() if key != _OURS]
    colours = (_COLOURS * len(others))[: len(others)]
    for curve, colour in zip(others, colours, strict=True):
        dashed = "--" if curve.name.startswith(("exact", "count")) else "-"
        axes.plot(*_points(curve), dashed, color=colour, linewidth=1.1, label=curve.name)
    axes.plot(
        *_points(study.curves[name][_OURS]), color="#111111", linewidth=1.8, label="ours: adaptive"
    )
    if name != "new_items":
        axes.axvline(study.steps / 2, color="#999999", linewidth=0.8, linestyle=":")
        axes.text(
            study.steps / 2, 0.97, " the distribution switches", color="#666666", va="top",
            fontsize=8, transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(_one_two_five())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda *_: "")
    axes.set_xlim(0, study.steps)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("step")
    axes.set_ylabel("error of the estimated probabilities")
    axes.set_title(_TITLES[name], loc="left", fontsize=11)
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    # Without the version of matplotlib in it the same study gives the same file.
    figure.savefig(path, metadata={"Software": None})


def _one_two_five():
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1.0, 2.0, 5.0))


def _points(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    return MEASURED_EVERY * (1 + np.arange(len(curve.errors))), curve.errors
