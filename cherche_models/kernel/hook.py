"""Hatchling's hook: a wheel takes the compiled kernel along where there is a C compiler, and does without elsewhere.

The library is no extension module, so that one wheel of a platform serves every Python.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags


class KernelHook(BuildHookInterface[BuilderConfig]):
    """Compiles into the checkout for an editable install, and into the wheel for the others."""

    PLUGIN_NAME = "kernel"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say where the library lies."""
        here = Path(self.root, "cherche_models", "kernel")
        build = _module(here / "build.py")
        self._folder = None if version == "editable" else tempfile.TemporaryDirectory()
        try:
            made = build.build(Path(self._folder.name) if self._folder else here)
        except build.BuildError as error:
            self.app.display_warning(f"MaxSim is left to numpy, queries to torch: {error}")
            return
        if self._folder:
            build_data["force_include"][str(made)] = f"cherche_models/kernel/{made.name}"
            build_data["pure_python"] = False
            # Of this system, not of manylinux: that promise is auditwheel's to make, for `make dist`.
            platform = next(tag for tag in platform_tags() if not tag.startswith(("manylinux", "musllinux")))
            build_data["tag"] = f"py3-none-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled for the wheel."""
        if self._folder:
            self._folder.cleanup()


def _module(path: Path) -> ModuleType:
    """A module by its file: the package around it needs what is not installed yet."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
