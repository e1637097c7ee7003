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
from typing import Any

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
        Written by `export_encoder`.
    threads : int
        0 for the number of cores.

    Raises
    ------
    CheckpointError
        If the file is missing or not such a graph, or ONNX Runtime is not installed.
    """

    def __init__(self, backbone: Backbone, path: Path, threads: int = 0) -> None:
        super().__init__(backbone)
        self._session = _session(path, threads)
        found = {node.name for node in (*self._session.get_inputs(), *self._session.get_outputs())}
        if not {*_INPUTS, _OUTPUT} <= found:
            raise CheckpointError(
                f"{path} has the inputs and outputs {', '.join(sorted(found))}, not {', '.join((*_INPUTS, _OUTPUT))}",
                "export the model again: cherche_models.hub.export(model, folder, 'onnx')",
            )

    def hidden_states(self, batch: Batch) -> Tensor:
        """Last hidden states, shape (batch, length, hidden)."""
        inputs = {"input_ids": batch.input_ids.cpu().numpy(), "attention_mask": batch.attention_mask.cpu().numpy()}
        (hidden,) = self._session.run([_OUTPUT], inputs)
        return torch.from_numpy(hidden).to(self._backbone.device, self._backbone.dtype)


def export_encoder(backbone: Backbone, folder: Path) -> Path:
    """Write ``onnx/model.onnx``: from token ids and mask to last hidden states, with dynamic batch size and length.

    Raises
    ------
    ValueError
        If the weights are not float32.
    CheckpointError
        If onnx and onnxscript are not installed.
    """
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
    size = sum(tensor.nbytes for tensor in backbone.parameters())
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter warns about its own tracing
        torch.onnx.export(
            _Encoder(backbone).eval(),
            (ids, mask),
            str(path),
            input_names=list(_INPUTS),
            output_names=[_OUTPUT],
            dynamic_shapes=(free, free),
            dynamo=True,
            verbose=False,
            external_data=size > _EXTERNAL,  # protobuf limits a file to 2 GiB
        )
    return path


class _Encoder(nn.Module):
    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden: Tensor = self.backbone(input_ids, attention_mask)
        return hidden


def _session(path: Path, threads: int) -> Any:  # noqa: ANN401  # an optional package's type
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
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no other common base class
        raise CheckpointError(f"{path} cannot be run: {error}", "export the model again") from error
