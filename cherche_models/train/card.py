"""The model card: base, data, settings and evaluation figures."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from cherche_models.losses import JointLoss
from cherche_models.train.recipe_file import Recipe
from cherche_models.train.settings import Settings

_TAGS = {
    "colbert": ["ColBERT", "late-interaction"],
    "splade": ["SPLADE", "sparse"],
    "sparse_embed": ["SparseEmbed", "sparse"],
    "joint": ["SPLADE", "ColBERT", "sparse", "late-interaction"],
}
_LICENSE = re.compile(r"\A---\n.*?^license:\s*(\S+)", re.MULTILINE | re.DOTALL)
UNKNOWN = "unknown"


def write(
    folder: Path,
    recipe: Recipe,
    architecture: str,
    plan: Mapping[str, Any],
    figures: Mapping[str, Any],
    curves: str,
) -> None:
    """Write the model card, README.md, to the model's folder.

    Parameters
    ----------
    folder : Path
    recipe : Recipe
    architecture : str
        Of the model.
    plan : mapping
        From `plan.TrainingPlan.values`.
    figures : mapping
        ``steps``, ``seconds``, ``before``, ``best`` (measurements), ``at`` (the step of ``best``) and ``final_loss``;
        ``narrow`` if the head was narrowed.
    curves : str
        File name of the plot in the same folder; empty for none.
    """
    name = recipe.card.name or folder.resolve().name
    parts = [
        "\n".join(_front_matter(recipe, architecture)),
        f"# {name}",
        recipe.card.description or _sentence(recipe, architecture, plan),
        _use(architecture),
        _made_of(recipe, plan),
        _figures(recipe, plan, figures, curves),
        _settings(recipe),
        "What the base and the data bring with them (licences, bias, languages) holds for this model too.",
    ]
    (folder / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def write_adapted(folder: Path, report: Mapping[str, Any], base: str) -> None:
    """Write the card of a model that `train.adapt` made.

    Parameters
    ----------
    folder : Path
    report : mapping
        From `train.adapt.adapt`.
    base : str
        Folder or id of the base.
    """
    rows = [
        f"| {stage} | {one['a']:.4f} | {one['b']:.4f} | {one['p_value']:.4f} |"
        for stage, one in report["stages"].items()
    ]
    made = report["measured_on"] == "made"
    said = "queries made of held-out documents, which flatter it" if made else "judged queries"
    tags = "\n".join(f"- {tag}" for tag in _TAGS[report["architecture"]])
    share = report["share"]
    text = f"""---
license: {base_license(base)}
library_name: cherche_models
tags:
{tags}
---

# {folder.resolve().name}

`{_shown(base)}`, adapted to {report["documents"]:,} documents by `cherche adapt`: {report["examples"]:,} queries made
of them, {report["steps"]:,} steps, and the mean of the trained weights ({share:g}) and those before ({1 - share:g}).

nDCG@10 on {report["queries"]:,} {said}, over {report["scored"]:,} documents:

| | before | after | p |
|---|---|---|---|
{chr(10).join(rows)}

It knows of the documents that it was trained on: publish it only if you would publish them.
"""
    (folder / "README.md").write_text(text, encoding="utf-8")


def base_license(base: str) -> str:
    """The licence named by the base model's card; ``unknown`` if there is none."""
    path = Path(base) / "README.md"
    found = _LICENSE.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found[1] if found else UNKNOWN


def _front_matter(recipe: Recipe, architecture: str) -> Iterator[str]:
    """YAML front matter, as model hubs read it."""
    yield "---"
    yield f"license: {recipe.card.license or UNKNOWN}"
    yield f"language: {recipe.card.language}"
    if not Path(recipe.base).is_absolute():
        yield f"base_model: {recipe.base}"
    named = [data.dataset for data in recipe.data if data.dataset and not Path(data.dataset).exists()]
    if named:
        yield from ("datasets:", *(f"- {name}" for name in named))
    yield from ("library_name: cherche_models", "tags:", *(f"- {tag}" for tag in _TAGS[architecture]), "---")


def _sentence(recipe: Recipe, architecture: str, plan: Mapping[str, Any]) -> str:
    kinds = {"colbert": "A ColBERT model", "splade": "A SPLADE model", "sparse_embed": "A SparseEmbed model"}
    kind = kinds.get(architecture, "SPLADE term weights and ColBERT token embeddings from one pass,")
    return f"{kind} trained from `{_shown(recipe.base)}` on {_count(plan['sources'])}."


def _use(architecture: str) -> str:
    return f"""## Use

```python
from cherche_models import hub

model = hub.load("FOLDER")  # {architecture}
model.encode(["a text"], "document")
```

Beside a cluster: `cherche serve --model NAME=FOLDER`."""


def _made_of(recipe: Recipe, plan: Mapping[str, Any]) -> str:
    rows = [f"| base | `{_shown(recipe.base)}` | {base_license(recipe.base)} |"]
    if recipe.teacher:
        teacher = recipe.teacher.sentence_transformer or recipe.teacher.cross_encoder
        rows.append(f"| teacher | `{_shown(teacher)}` | {base_license(teacher)} |")
    for data, source in zip(recipe.data, plan["sources"], strict=True):
        refused = f", {source['refused']:,} lines refused" if source["refused"] else ""
        count = "a stream" if source["examples"] < 0 else f"{source['examples']:,} examples"
        rows.append(f"| data | `{_shown(data.name)}`: {count}{refused} | {data.license or UNKNOWN} |")
    return "\n".join(["## Made of", "", "| | | licence |", "|---|---|---|", *rows])


def _figures(recipe: Recipe, plan: Mapping[str, Any], figures: Mapping[str, Any], curves: str) -> str:
    lines = ["## Figures", ""]
    if figures["best"]:
        lines += [f"On {plan['measured_on']}, the best of the measurements while training, which flatters a little;"]
        lines += ["larger is better:", ""]
        lines += [f"| | before | after {figures['at']:,} steps |", "|---|---|---|"]
        lines += [f"| {name} | {plan['before'][name]:.4f} | {value:.4f} |" for name, value in figures["best"].items()]
        if narrowed := figures.get("narrow"):
            shown = ", ".join(f"{name} {value:.4f}" for name, value in narrowed.items())
            lines += ["", f"Narrowed to {recipe.head.narrow} dimensions, as it is stored: {shown}."]
    else:
        lines.append("Nothing was set aside to measure on; the loss of training says little about search.")
    lines += ["", f"Last loss {figures['final_loss']:.4f}." if figures["final_loss"] is not None else ""]
    if curves:
        lines += ["", f"![Loss and measurements by step]({curves})"]
    return "\n".join([*lines, "", "Made by `cherche train recipe.toml`; for a report, measure with `cherche eval`."])


def _settings(recipe: Recipe) -> str:
    rows = [f"| {name} | {value} |" for name, value in _changed(recipe)]
    machine = f"Python {platform.python_version()}, torch {torch.__version__}."
    return "\n".join(
        ["## Settings", "", "Where they differ from the defaults:", "", "| | |", "|---|---|", *rows, "", machine]
    )


def _changed(recipe: Recipe) -> Iterator[tuple[str, object]]:
    yield "batch", recipe.batch
    for table, given, plain in (
        ("training", recipe.training, Settings(steps=0)),
        ("loss", recipe.loss, JointLoss()),
    ):
        values, defaults = asdict(given), asdict(plain)
        yield from ((f"{table}.{f.name}", values[f.name]) for f in fields(given) if values[f.name] != defaults[f.name])
    for name in ("query_length", "document_length"):
        if getattr(recipe, name):
            yield name, getattr(recipe, name)
    for name in ("head", "lora", "teacher"):
        if table := getattr(recipe, name):
            yield from ((f"{name}.{key}", _shown(str(value))) for key, value in table.model_dump().items() if value)
    if recipe.train_layers is not None:
        yield "train_layers", recipe.train_layers


def _count(sources: Sequence[Mapping[str, Any]]) -> str:
    known = [source["examples"] for source in sources if source["examples"] >= 0]
    return f"{sum(known):,} examples" if len(known) == len(sources) else "a stream of examples"


def _shown(source: str) -> str:
    """The name of a folder without its path, which would expose the machine's directories."""
    return Path(source).name if Path(source).is_absolute() else source
