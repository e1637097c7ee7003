"""``python -m cherche_models.train.corpus OUT``: fetch the packages of every source and write the mixture."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cherche_models.evaluate.searches import FURTHER, SEARCHES
from cherche_models.train.corpus import mixture
from cherche_models.train.corpus.build import Limits
from cherche_models.train.corpus.clients import Fetcher, FetchError
from cherche_models.train.corpus.table import discover


def main(arguments: Sequence[str] | None = None) -> None:
    """Build a mixture; exit with status 1 if a source is unavailable and all are required, or none is left."""
    sources, usual = discover(), Limits()
    parser = argparse.ArgumentParser(prog="python -m cherche_models.train.corpus", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write, created")
    parser.add_argument(
        "--cache", type=Path, default=cache_folder(os.environ), help="folder of downloads (%(default)s)"
    )
    parser.add_argument("--without", action="append", default=[], choices=sorted(sources), help="leave out a source")
    parser.add_argument("--scifact", type=Path, help="BEIR folder of SciFact, of which only qrels/train.tsv is read")
    parser.add_argument(
        "--queries",
        type=int,
        default=usual.queries,
        help="training queries of a field (%(default)s); 0: dev sets only",
    )
    parser.add_argument("--documents", type=int, default=usual.documents, help="documents of a field (%(default)s)")
    parser.add_argument("--negatives", type=int, default=usual.negatives, help="negatives of a query (%(default)s)")
    parser.add_argument("--seed", type=int, default=usual.seed, help="of the choice of queries (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--strict", action="store_true", help="fail if a source is unavailable")
    options = parser.parse_args(arguments)
    chosen = [source for name, source in sources.items() if name not in options.without]
    fetcher = Fetcher(options.cache, folders={"scifact": options.scifact} if options.scifact else {})
    limits = Limits(options.queries, options.documents, options.negatives, seed=options.seed)
    try:
        mixture.build(
            options.out,
            chosen,
            fetcher.fetch,
            limits,
            (*SEARCHES, *FURTHER),
            _note,
            jobs=options.jobs,
            strict=options.strict,
        )
    except (FetchError, ValueError) as error:
        sys.exit(f"error: {error}")


def cache_folder(environment: Mapping[str, str]) -> Path:
    """``cherche/packages`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``."""
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cherche" / "packages"


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
