"""What a Sentence Transformers checkpoint does with its hidden states."""

from __future__ import annotations

from pathlib import Path

from cherche_models.errors import CheckpointError
from cherche_models.layouts.files import read_json
from cherche_models.layouts.sparse_encoder import modules

_KNOWN = ("Transformer", "Pooling", "Normalize")
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def takes_first(folder: Path) -> bool:
    """Whether a text's vector is that of its first token; if not, it is the mean.

    Without ``modules.json`` it is the mean, as sentence-transformers has it.

    Raises
    ------
    CheckpointError
        If the checkpoint does anything else with its hidden states.
    """
    found = modules(folder)
    if odd := [kind for kind, _ in found if kind not in _KNOWN]:
        raise CheckpointError(
            f"{folder} ends in the module {odd[0]}", "use an encoder that only pools, and normalises if it likes"
        )
    paths = [path for kind, path in found if kind == "Pooling"]
    modes = _modes(folder / (paths[0] if paths else "1_Pooling"))
    if modes not in (["mean"], ["cls"]):
        raise CheckpointError(f"{folder} pools by {' and '.join(modes)}", "use an encoder that pools by mean or cls")
    return modes == ["cls"]


def _modes(folder: Path) -> list[str]:
    """Names of a module's ways to pool: one key since sentence-transformers 6, a flag for each before."""
    stored = read_json(folder / "config.json")
    named = stored.get("pooling_mode") or [key for key, value in stored.items() if key in _FLAGS and value]
    found = [named] if isinstance(named, str) else list(named)
    return [_FLAGS.get(str(mode), str(mode)) for mode in found] or ["mean"]
