"""Takes everything out of an index again."""

from __future__ import annotations

from dataclasses import replace

from sidecar.maintenance.versions import keeps_versions, owners_versions
from sidecar.pipeline.context import Context
from sidecar.values.maintenance import Removal


async def remove(index: str, context: Context, *, dry_run: bool, version_type: str = "") -> Removal:
    """Take out of an index what setup and feed put in, or only say what that would do.

    Parameters
    ----------
    version_type : {"", "external_gte"}
        The latter where somebody gives documents versions of his own: they keep them.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for another version type; as `Engine.remove`.
    """
    keeps = keeps_versions(version_type)
    said = () if keeps else await owners_versions(index, "changed", context)
    removal = await context.engine.remove(index, dry_run=dry_run, keeps_versions=keeps)
    return replace(removal, changes=(*removal.changes, *said)) if removal.documents else removal
