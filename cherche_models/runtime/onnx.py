"""ONNX Runtime for the encoder; head and projection run in torch.

The encoder is nearly all of ColBERT's computation and half of SPLADE's. The vocabulary
head stays outside the graph, where the maximum over tokens is taken without storing
batch x length x vocabulary logits, as a graph would.
"""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cherche_models.backbone import Backbone
from cherche_models.errors import CheckpointError
from cherche_models.runtime.batches import Batch
from cherche_models.runtime.protocol import TorchRuntime

FILE = Path("onnx") / "model.onnx"
_INPUTS, _OUTPUT = ("input_ids", "attention_mask"), "last_hidden_state"
_EXTERNAL = 1 << 30
_INSTALL = "install it with: pip install 'cherche-sidecar[onnx]'"


class OnnxRuntime(TorchRuntime):
    """Runs an exported encoder on the CPU, in float32.

    Hidden states agree with torch's within 1e-4.

    Parameters
    ----------
    backbone : Backbone
        The exported model.
    path : Path
        Written by `export_graph`.
    threads : int
        0 for the number of cores.

    Raises
    ------
    CheckpointError
        If the file is missing or not such a graph, or ONNX Runtime is not installed.
    """

    def __init__(self, backbone: Backbone, path: Path, threads: int = 0) -> None:
        super().__init__(backbone)
        self._session, self._options = _session(path, threads)
        found = {node.name for node in (*self._session.get_inputs(), *self._session.get_outputs())}
        if not {*_INPUTS, _OUTPUT} <= found:
            raise CheckpointError(
                f"{path} has the inputs and outputs {', '.join(sorted(found))}, not {', '.join((*_INPUTS, _OUTPUT))}",
                "export the model again: cherche_models.hub.export(model, folder, 'onnx')",
            )

    def packs(self) -> bool:
        """Never: the graph takes padded batches."""
        return False

    def hidden_states(self, batch: Batch) -> Tensor:
        """Last hidden states, shape (batch, length, hidden)."""
        inputs = {"input_ids": batch.input_ids.cpu().numpy(), "attention_mask": batch.attention_mask.cpu().numpy()}
        (hidden,) = self._session.run([_OUTPUT], inputs, self._options)
        return torch.from_numpy(hidden).to(self._backbone.device, self._backbone.dtype)


class Exported(Protocol):
    """A model with an encoder and further outputs."""

    backbone: Backbone

    def graph_outputs(self, input_ids: Tensor, attention_mask: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """What the graph gives beside hidden states, by name."""


def export_graph(model: Exported, folder: Path) -> Path:
    """Write ``onnx/model.onnx``: from token ids and mask to last hidden states and what the heads make of them.

    Batch size and length are dynamic. Any runtime gets term weights and token embeddings from it without this library;
    `OnnxRuntime` takes the hidden states alone. The outputs are those of `models.Model.graph_outputs`.

    Raises
    ------
    ValueError
        If the weights are not float32.
    CheckpointError
        If onnx and onnxscript are not installed.
    """
    backbone = model.backbone
    if backbone.dtype is not torch.float32:
        raise ValueError(f"the weights are {backbone.dtype}: load the model with dtype='fp32' to export it")
    try:
        import onnxscript  # noqa: F401  # torch's exporter needs it; its own error is less clear
    except ImportError as error:
        raise CheckpointError("onnx and onnxscript are not installed", _INSTALL) from error
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = torch.arange(1, 15, device=backbone.device).reshape(2, 7) % backbone.tokens
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    graph = _Graph(model).eval()
    size = sum(tensor.nbytes for tensor in graph.parameters())
    with torch.inference_mode():
        names = [_OUTPUT, *model.graph_outputs(ids, mask, backbone(ids, mask))]
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter warns about its own tracing
        torch.onnx.export(
            graph,
            (ids, mask),
            str(path),
            input_names=list(_INPUTS),
            output_names=names,
            dynamic_shapes=(free, free),
            dynamo=True,
            verbose=False,
            external_data=size > _EXTERNAL,  # protobuf limits a file to 2 GiB
        )
    return path


class _Graph(nn.Module):
    def __init__(self, model: Exported) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        hidden: Tensor = self.model.backbone(input_ids, attention_mask)
        return hidden, *self.model.graph_outputs(input_ids, attention_mask, hidden).values()


def _session(path: Path, threads: int) -> tuple[Any, Any]:
    """A session, and the options of its runs."""
    if not path.is_file():
        raise CheckpointError(
            f"{path} does not exist", "export the model first: cherche_models.hub.export(model, folder, 'onnx')"
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise CheckpointError("ONNX Runtime is not installed", _INSTALL) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    run = onnxruntime.RunOptions()
    run.only_execute_path_to_fetches = True  # not the heads, which torch computes with less memory
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]), run
    except Exception as error:  # ONNX Runtime's errors have no other common base class
        raise CheckpointError(f"{path} cannot be run: {error}", "export the model again") from error
