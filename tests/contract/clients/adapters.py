"""Examples of ``sidecar/adapters/README.md``; `tests.contract.interop_adapters` runs this beside the frameworks.

Run with the file, the address of a sidecar and the text of the document that every example must find best.
"""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

README, ADDRESS, BEST = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
PACKAGES = {"LangChain": "langchain-core", "LlamaIndex": "llama-index-core", "Haystack": "haystack-ai"}
EXAMPLE = re.compile(r"^## (\w+)\n.*?^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def text_of(best: Any) -> str:
    for name in ("page_content", "content", "text"):
        if hasattr(best, name):
            return str(getattr(best, name))
    raise TypeError(f"{type(best)} has no text")


def main() -> None:
    rows = []
    examples = dict(EXAMPLE.findall(README.read_text(encoding="utf-8")))
    if set(examples) != set(PACKAGES):
        raise SystemExit(f"the README has examples of {', '.join(examples)}")
    for name, code in examples.items():
        held: dict[str, Any] = {}
        try:
            exec(compile(code.replace("localhost:50551", ADDRESS), f"{name} of {README}", "exec"), held)
            said = "works" if text_of(held["best"][0]) == BEST else f"found {text_of(held['best'][0])!r}"
        except Exception as error:  # whatever a framework raises is a line of the table
            said = f"{type(error).__name__}: {error}"
        rows.append([name, f"{PACKAGES[name]} {version(PACKAGES[name])}", said])
    if "torch" in sys.modules:
        raise SystemExit("an adapter loads torch")
    print("ROWS" + json.dumps(rows))
    sys.stdout.flush()
    os._exit(0)  # the examples leave their clients open, as an application does


main()
