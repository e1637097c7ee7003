"""A sidecar with a model that ships searches and reranks what is stored, and never imports torch."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from cherche_models.kernel import library
from sidecar import config
from sidecar.serve import in_process
from sidecar.values.documents import SourceDocument
from sidecar.values.index import IndexOptions

TEXTS = ["A storm off the coast sank a boat.", "The heart pumps blood.", "A court of law hears an appeal."]
# The whole program: a sidecar in this process, its client, and what was imported for them.
PROGRAM = """
import asyncio, json, sys
from sidecar import config
from sidecar.serve import in_process
from sidecar.values.search import SearchRequest

async def main(path):
    settings = config.load({"engine": "embedded", "embedded": {"path": path}, "models": MODELS})
    async with in_process(settings) as client:
        found = await client.search(SearchRequest("articles", "what does a judge do", mode="hybrid", rerank=True))
        [model] = await client.list_models()
    imported = sorted({"torch", "transformers", "huggingface_hub"} & set(sys.modules))
    best = found.hits[0]
    print(json.dumps([best.id, best.parts.maxsim is not None, model.description.documents, imported]))

MODELS = json.loads(sys.argv[2])
asyncio.run(main(sys.argv[1]))
"""


async def documents() -> AsyncIterator[SourceDocument]:
    for number, text in enumerate(TEXTS):
        yield SourceDocument(str(number), json.dumps({"text": text}).encode())


def test_what_serves_searches_imports_no_torch(tmp_path: Path, require: Callable[[str, str], None]) -> None:
    found = library.installed()
    if not found.kernels or found.kernels[-1].name == "plain":
        require("compiler", found.reason or "the kernel knows none of this processor's instructions")
    path, models = (
        str(tmp_path / "index.sqlite"),
        {"cherche-tiny": str(Path(config.shipped_model()).with_name("cherche-tiny"))},
    )

    async def feed() -> None:
        settings = config.load({"engine": "embedded", "embedded": {"path": path}, "models": models})
        async with in_process(settings) as client:
            await client.setup_index("articles", IndexOptions())
            assert not [one.error async for one in client.index_documents("articles", documents()) if one.error]

    asyncio.run(feed())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path, json.dumps(models)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["2", True, "torch, imported when the first one comes", []]
