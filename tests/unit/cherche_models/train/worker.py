"""One process of a run: trains for some steps and writes its losses, its gradient's effect, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from cherche_models import hub
from cherche_models.losses import JointLoss
from cherche_models.train import Example, Settings, fit
from cherche_models.train.processes import connected

WORDS = ("brain", "index", "token", "heart", "cell")
EXAMPLES = [
    Example(f"the {word}", f"{word} of the document", ("neural search", f"{WORDS[i - 1]} of the document"))
    for i, word in enumerate(WORDS)
]
# The first query again, so that each of its answers must not be a negative of the other, which another process has.
EXAMPLES.append(Example("the brain", "cell of the document", ("the heart of a cell",)))
SETTINGS = Settings(
    steps=6, negatives=2, learning_rate=1e-3, save_every=2, query_length=16, document_length=16, ema=0.9, accumulate=1
)
LOSS = JointLoss(query_flops=1e-2, document_flops=1e-2, document_df_flops=1e-3, maxsim_scale=2.0)


def main(base: str, out: str, chunk: str = "0", die: str = "-1") -> None:
    torch.manual_seed(0)
    model = hub.load(base, device="cpu", dtype="fp32", architecture="joint", new_head=True, dim=8)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout) and int(chunk):
            module.p = 0.0
    processes = connected()
    folder = Path(out)
    with (folder / f"losses{processes.rank}.jsonl").open("a") as log:

        def report(step: int, parts: dict[str, float]) -> None:
            log.write(json.dumps([step, parts]) + "\n")
            log.flush()
            if step == int(die):
                os.kill(os.getpid(), signal.SIGKILL)

        # Six, three and five queries, and documents that do not divide by two.
        batches = [EXAMPLES, EXAMPLES[:3], EXAMPLES[1:]]
        fit(
            model,
            lambda step: batches[step % 3],
            LOSS,
            replace(SETTINGS, chunk=int(chunk)),
            folder=folder,
            report=report,
            processes=processes,
        )
    if processes.is_first:
        torch.save(model.state_dict(), folder / "weights.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
