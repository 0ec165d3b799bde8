"""Evaluation -> small multiples: ROC, precision against recall, reliability, a row a label."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from .evaluation import Evaluation, LabelEvaluation
from .extra import require_extra
from .metrics import calibration_bins
from .report import cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["save_plot"]

_INCHES: Final = 2.1
_LABELS_IN_A_ROW: Final = 2
_MOST_POINTS: Final = 1000
_COLOUR: Final = "#1f5f8b"
_GREY: Final[dict[str, Any]] = {"color": "0.7", "linewidth": 0.8, "linestyle": ":"}


def save_plot(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write evaluation.svg and evaluation.png; labels with one class have no curves.

    Raises:
        NotInstalled: matplotlib or scikit-learn is missing.
        OSError: The folder cannot be written.
    """
    require_extra("matplotlib", "sklearn.metrics")
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [each for each in evaluation.labels if each.outcome.both_classes]
    rows = max(1, -(-len(shown) // _LABELS_IN_A_ROW))
    columns = 3 * _LABELS_IN_A_ROW
    figure = Figure((columns * _INCHES, rows * (_INCHES + 0.45)), layout="constrained")
    # No window is ever asked for.
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for k, each in enumerate(shown):
        row, place = divmod(k, _LABELS_IN_A_ROW)
        _draw(each, grid[row, 3 * place : 3 * place + 3])
    if not shown:
        grid[0, 0].set_title("no label has both classes", fontsize=8)
    paths = [folder / "evaluation.svg", folder / "evaluation.png"]
    # The same figures give the same bytes.
    with mpl.rc_context({"svg.hashsalt": "evaluation"}):
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=110)
    return paths


def _draw(each: LabelEvaluation, grid: Any) -> None:
    from sklearn.metrics import precision_recall_curve, roc_curve

    truth, scores = each.outcome.truth, each.outcome.scores
    false, true, _ = roc_curve(truth, scores)
    precision, recall, _ = precision_recall_curve(truth, scores)
    for axes in grid:
        axes.set_axis_on()
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.tick_params(labelsize=6)
    roc, pr, reliability = grid
    roc.plot([0, 1], [0, 1], **_GREY)
    roc.plot(_thin(false), _thin(true), color=_COLOUR, linewidth=1.2)
    _name(roc, f"{each.label.name}\nAUROC {cell(each.figures['auroc'])}", "1 - specificity", "")
    roc.set_ylabel("sensitivity", fontsize=6)
    pr.axhline(each.prevalence, **_GREY)
    pr.step(_thin(recall), _thin(precision), where="post", color=_COLOUR, linewidth=1.2)
    _name(pr, f"AUPRC {cell(each.figures['auprc'])}", "sensitivity", "PPV")
    _reliability(each, reliability)


def _thin(curve: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """At most as many points as can be seen: a million would make a file of 100 MB."""
    shown = np.unique(np.linspace(0, len(curve) - 1, _MOST_POINTS).round().astype(int))
    return np.asarray(curve[shown])


def _reliability(each: LabelEvaluation, axes: "Axes") -> None:
    """What is said against what is so, in bins of as many recordings each."""
    bins = calibration_bins(each.outcome.calibrated)
    counts = np.bincount(bins)
    filled = counts > 0
    said = np.bincount(bins, each.outcome.calibrated)[filled] / counts[filled]
    so = np.bincount(bins, each.outcome.truth)[filled] / counts[filled]
    axes.plot([0, 1], [0, 1], **_GREY)
    axes.plot(said, so, "o-", color=_COLOUR, linewidth=1.0, markersize=2.5)
    _name(axes, f"ECE {cell(each.figures['ece'])}", "calibrated probability", "share of positives")


def _name(axes: "Axes", title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=6.5)
    axes.set_xlabel(x, fontsize=6)
    axes.set_ylabel(y, fontsize=6)
