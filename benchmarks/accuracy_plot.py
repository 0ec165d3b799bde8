"""The accuracy table as a picture: what each detector gets wrong, by database."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

# A detector without an error still needs a place on a logarithmic axis.
LEAST_PERCENT = 0.01
OURS = ("tab:red", "darkred", "salmon")


def plot(f1s: dict[str, dict[str, float]], path: Path) -> None:
    """Draw 100 - F1 in percent of each detector, database by database, as a small PNG."""
    names = list(dict.fromkeys(name for row in f1s.values() for name in row))
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for k, name in enumerate(names):
        ours = name.startswith("ours")
        x = [i + 0.8 * (k / len(names) - 0.5) for i, row in enumerate(f1s.values()) if name in row]
        y = [max(100.0 - row[name], LEAST_PERCENT) for row in f1s.values() if name in row]
        colour = OURS[k % 3] if ours else plt.colormaps["tab20"](k % 20)
        axes.plot(x, y, "*" if ours else "o", ms=11 if ours else 6, color=colour, label=name)
    axes.set_yscale("log")
    axes.set_xticks(range(len(f1s)), list(f1s))
    axes.set_ylabel("100 - F1, % (lower is better)")
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=80)
    plt.close(figure)
