"""A corpus with a dev set, as the corpus builder writes one, of random words."""

from __future__ import annotations

import json
import random
from pathlib import Path

from cherche_models.train import data
from cherche_models.train.rows import Example
from tests import checkpoints


def document(number: int) -> dict[str, str]:
    words = random.Random(number).choices(checkpoints.WORDS, k=8)
    return {"_id": str(number), "title": words[0], "text": " ".join(words)}


def write(folder: Path) -> Path:
    held_out = folder / "dev" / "words"
    (held_out / "qrels").mkdir(parents=True)
    documents = [document(number) for number in range(120)]
    for path, found in ((folder / "documents.jsonl", documents[:80]), (held_out / "corpus.jsonl", documents[80:])):
        path.write_text("".join(json.dumps(each) + "\n" for each in found))
    rows = [
        Example(each["title"], each["text"], tuple(document(number + 1 + i)["text"] for i in range(4)))
        for number, each in enumerate(documents[:60])
    ]
    data.write(folder / "train.jsonl", rows)
    queries = [{"_id": f"q{each['_id']}", "text": " ".join(each["text"].split()[2:5])} for each in documents[80:90]]
    (held_out / "queries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in queries))
    judged = "".join(f"{each['_id']}\t{each['_id'][1:]}\t1\n" for each in queries)
    (held_out / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return folder
