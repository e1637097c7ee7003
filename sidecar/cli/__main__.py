"""``python -m sidecar.cli`` is ``cherche``."""

from sidecar.cli import main

main()
