"""Documents whose owner gives them versions of his own, which a write of ours must not use up."""

from __future__ import annotations

from sidecar.errors import invalid
from sidecar.maintenance.estimate import SAMPLE
from sidecar.pipeline.context import Context
from sidecar.values.maintenance import EXTERNAL


def keeps_versions(version_type: str) -> bool:
    """Whether documents are to be written under the versions that they have.

    Raises
    ------
    ChercheError
        INVALID_ARGUMENT for another version type.

    >>> keeps_versions("external_gte"), keeps_versions("")
    (True, False)
    """
    if version_type not in ("", EXTERNAL):
        raise invalid(f"version_type is {version_type!r}", f"give {EXTERNAL}, or nothing")
    return version_type == EXTERNAL


async def owners_versions(index: str, done: str, context: Context) -> tuple[str, ...]:
    """What people should know before documents get the next version; nothing where no sampled one has somebody's own.

    Parameters
    ----------
    done : str
        What is done to documents, as "encoded".
    """
    foreign = await context.engine.foreign_versions(index, SAMPLE)
    if not foreign:
        return ()
    return (
        f"{foreign} sampled documents of {index} have versions that their owner seems to give them: each that is "
        f"{done} gets the next one, and the owner's is refused then — add --version-type {EXTERNAL} to keep them",
    )
