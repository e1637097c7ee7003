"""Runtimes that encode the same weights as `encode`: ONNX Runtime, OpenVINO and fastembed, each where it is installed.

All run the graph that `hub.export` writes, cut to the outputs that they need, padded batches of like lengths, and one
pool of threads. SPLADE's pooling is sentence-transformers' own, as behind its backends of these names. OpenVINO chooses
its type itself: bfloat16 where the CPU has it. fastembed brings its own tokenizing, batches and pooling.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cherche_models import hub

NAMES = {"ONNX Runtime fp32": "onnxruntime", "OpenVINO": "openvino", "fastembed": "fastembed"}
OUTPUTS = {"sparse": ["logits"], "late interaction": ["token_embeddings", "token_mask"]}
NAMED = "prithivida/Splade_PP_en_v1"
"""A name that fastembed knows as a SPLADE; the weights are those of the folder."""
LARGEST = {"fastembed": 8}
"""Its pooling makes float64 of batch x length x vocabulary, several times: at 32 abstracts 4 GB each."""
Encode = Callable[[Sequence[str], int], Any]
Run = Callable[[dict[str, np.ndarray]], list[np.ndarray]]


def installed(head: str) -> list[str]:
    """Those that can be measured; fastembed's token embeddings have a marker more, so they are other values."""
    return [way for way, module in NAMES.items() if find_spec(module) and (way != "fastembed" or head == "sparse")]


def encoder(way: str, model: Path, head: str, folder: Path, threads: int) -> Encode:
    """Texts and a batch size in, encodings out; `folder` is for the graph."""
    graph = _graph(model, head, folder)
    if way == "fastembed":
        return _fastembed(graph.parent, threads)
    return _batched(model, head, _onnxruntime(graph, threads) if way.startswith("ONNX") else _openvino(graph, threads))


def _graph(model: Path, head: str, folder: Path) -> Path:
    """The exported graph with the outputs of a head and nothing that only others need."""
    import onnx

    path = folder / head / "model.onnx"
    if not path.exists():
        hub.export(hub.load(model, device="cpu", dtype="fp32"), folder / "exported" / head, "onnx")
        found = onnx.load(folder / "exported" / head / "onnx" / "model.onnx")
        kept = [output for output in found.graph.output if output.name in OUTPUTS[head]]
        del found.graph.output[:]
        found.graph.output.extend(kept)
        path.parent.mkdir(parents=True)
        onnx.save(found, path)
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(model / name, path.parent)
        (path.parent / "special_tokens_map.json").write_text(json.dumps({}), encoding="utf-8")
    return path


def _onnxruntime(graph: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)  # type: ignore[no-any-return]


def _openvino(graph: Path, threads: int) -> Run:
    import openvino

    compiled = openvino.compile_model(graph, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"})
    return lambda inputs: list(compiled(inputs).values())


def _batched(model: Path, head: str, run: Run) -> Encode:
    """Batches of like lengths, as sentence-transformers sorts them."""
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    ours, pooling = hub.load(model, device="cpu", dtype="fp32"), SpladePooling("max")

    def encode(some: Sequence[str], size: int) -> list[torch.Tensor]:
        tokens = ours.tokenize(some, "document")
        order = sorted(range(len(tokens)), key=lambda place: -len(tokens[place]))
        found: dict[int, torch.Tensor] = {}
        for start in range(0, len(order), size):
            places = order[start : start + size]
            ids = np.zeros((len(places), len(tokens[places[0]])), np.int64)
            for row, place in zip(ids, places, strict=True):
                row[: len(tokens[place])] = tokens[place].ids
            mask = (np.arange(ids.shape[1]) < [[len(tokens[place])] for place in places]).astype(np.int64)
            values, *own = run({"input_ids": ids, "attention_mask": mask})
            if own:
                rows = (torch.from_numpy(row[keep]) for row, keep in zip(values, *own, strict=True))
                found.update(zip(places, rows, strict=True))
                continue
            features = {"token_embeddings": torch.from_numpy(values), "attention_mask": torch.from_numpy(mask)}
            found.update(zip(places, pooling(features)["sentence_embedding"], strict=True))
        return [found[place] for place in range(len(found))]

    return encode


def _fastembed(folder: Path, threads: int) -> Encode:
    from fastembed import SparseTextEmbedding

    model = SparseTextEmbedding(NAMED, specific_model_path=str(folder), threads=threads)
    return lambda some, size: list(model.passage_embed(list(some), batch_size=size))
