"""The pictures of the page on benchmarks, drawn from ``results``: ``python -m tests.benchmarks.plots``.

Each is a set of bars, the longest first in a group; the page is ``sidecar/docs/benchmarks.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PICTURES = Path(__file__).parents[2] / "sidecar/docs/benchmarks"
CPU = "AMD EPYC, family 25"
"""Whose figures are shown of those that are kept by CPU."""
OURS, THEIRS = "#1f77b4", "#b0b0b0"


@dataclass(frozen=True, slots=True)
class Picture:
    """Bars in groups.

    Attributes
    ----------
    name : str
        Of its file.
    title, unit : str
    groups : mapping of title → label → value
    """

    name: str
    title: str
    unit: str
    groups: Mapping[str, Mapping[str, float]]


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def encoding() -> Picture:
    """Documents of each library in a second of one thread."""
    found = _read("encode")[CPU]
    heads = {"SPLADE": found["sparse"], "ColBERT": found["late interaction"]}
    groups = {
        f"{head}, {texts}": figures[texts]["documents_per_cpu_second"]
        for head, figures in heads.items()
        for texts in ("titles", "abstracts")
    }
    return Picture("encoding", "Encoding documents, same weights, one thread", "documents per CPU second", groups)


def gains() -> Picture:
    """What leaving out each gain of the encoder costs."""
    groups = {
        f"{model}, {what}": {way: ratio["median"] for way, ratio in figures["times_as_long"].items()}
        for model, parts in _read("ablation")[CPU]["models"].items()
        for what, figures in parts.items()
        if isinstance(figures, dict) and what in ("titles", "abstracts", "a query of 16 tokens")
    }
    return Picture("gains", "What is left out, and how many times as long it then takes", "times as long", groups)


def maxsim() -> Picture:
    """A rerank's scores from codes."""
    groups = {
        f"{window['codec']}, {window['shape'].partition(' ')[0]} documents": {
            way: times["min"] for way, times in window["milliseconds_of_cpu"].items()
        }
        for window in _read("maxsim")[CPU]["windows"]
    }
    return Picture("maxsim", "MaxSim of one query of 32 tokens", "ms of one thread, the best round", groups)


def first_stage() -> Picture:
    """A cluster's CPU for a hybrid window of 100 by its size."""
    groups = {
        f"{int(size):,} documents, {'queries ' if queries.startswith('of ') else ''}{queries}": {
            way: figures["cpu_ms"] for way, figures in ways.items() if isinstance(figures, dict)
        }
        for size, found in _read("first_stage")["figures"]["sizes"].items()
        for queries, ways in found["ways"].items()
    }
    return Picture("first-stage", "A window of 100 hits, one shard", "ms of the cluster's CPU", groups)


def flow() -> Picture:
    """Searches through the sidecar, and BM25 without it."""
    groups = {
        f"{clients} client{'s' if clients != '1' else ''}": {
            way: figures["searches_per_second"] for way, figures in ways.items()
        }
        for clients, ways in _read("flow")["figures"]["clients"].items()
    }
    title = "Searches of 100,000 documents; cluster, sidecar and clients on two cores"
    return Picture("flow", title, "searches per second", groups)


PICTURED = (encoding, gains, maxsim, first_stage, flow)


def draw(picture: Picture, path: Path) -> None:
    """Write a picture as SVG, its words as text; the same bytes for the same figures."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    sizes = [len(bars) for bars in picture.groups.values()]
    height = 0.24 * sum(sizes) + 0.5 * len(sizes) + 0.8
    with mpl.rc_context({"svg.hashsalt": picture.name, "svg.fonttype": "none"}):
        shown, axes = pyplot.subplots(
            len(sizes), 1, figsize=(8, height), layout="constrained", squeeze=False, height_ratios=sizes
        )
        for axis, (group, bars) in zip(axes[:, 0], picture.groups.items(), strict=True):
            _bars(axis, group, bars)
        shown.suptitle(picture.title, fontsize=11)
        axes[-1, 0].set_xlabel(picture.unit, fontsize=9)
        shown.savefig(path, metadata={"Date": None})
        pyplot.close(shown)


def _bars(axis: Any, title: str, bars: Mapping[str, float]) -> None:
    ordered: Sequence[tuple[str, float]] = sorted(bars.items(), key=lambda bar: bar[1])
    names, values = zip(*ordered, strict=True)
    drawn = axis.barh(names, values, color=[THEIRS if is_others(name) else OURS for name in names])
    axis.bar_label(drawn, labels=[f"{value:,g}" for value in values], fontsize=7, padding=2)
    axis.set_title(title, fontsize=9, loc="left")
    axis.tick_params(labelsize=8)
    axis.margins(x=0.1)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def is_others(name: str) -> bool:
    """Whether a bar is of something else than this project.

    >>> is_others("PyLate"), is_others("bm25"), is_others("bm25 by sidecar")
    (True, True, False)
    """
    peers = ("sentence-transformers", "ONNX", "OpenVINO", "fastembed", "PyLate", "maxsim-cpu", "as it is")
    return name == "bm25" or name.startswith(peers)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for make in PICTURED:
        picture = make()
        draw(picture, PICTURES / f"{picture.name}.svg")
        print(PICTURES.name, picture.name, len(picture.groups), "groups")


if __name__ == "__main__":
    main()
