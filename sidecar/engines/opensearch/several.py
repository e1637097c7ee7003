"""Writing and reading by id where a name stands for several indices, or for a data stream.

The cluster takes new documents of such a name into one index and has no way to ask for an id in all of them; a data
stream besides refuses to overwrite. So ids are looked for in each index, and what is found is written where it lies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.engines.opensearch import lifecycle
from sidecar.engines.opensearch.bulk import Item, Sleep, Writer, item
from sidecar.engines.opensearch.errors import of_item
from sidecar.engines.opensearch.http import Http, Request, index_path, is_pattern
from sidecar.engines.opensearch.mapping import IndexFacts
from sidecar.engines.opensearch.templates import BACKING
from sidecar.errors import ChercheError, invalid, precondition
from sidecar.types import Json, StoredDocument, WriteResult

_ADDRESSES = 2000  # of one request


@dataclass(frozen=True, slots=True)
class Several:
    """What stands behind a name that is not simply an index.

    Attributes
    ----------
    name : str
    names : tuple of str
        Concrete indices, the oldest first.
    target : str
        The one that new documents go to; "" where the cluster takes none under this name.
    is_stream : bool
    """

    name: str
    names: tuple[str, ...]
    target: str
    is_stream: bool


async def several(http: Http, index: str) -> Several | None:
    """What a name stands for; None for one index, by its name or behind an alias.

    Raises
    ------
    ChercheError
        NOT_FOUND.
    """
    request = Request("GET", index_path(index, "_settings", "index.uuid"))
    names = tuple(sorted(await http.send(request, what=f'index "{index}"'), key=age))
    is_stream = any(name.startswith(BACKING) for name in names) and index not in names
    if len(names) < 2 and not is_stream:
        return None
    return Several(index, names, names[-1] if is_stream else await _target(http, index), is_stream)


async def target(http: Http, index: str, found: Sequence[IndexFacts]) -> IndexFacts | None:
    """Of the indices behind a name the one that new documents go to; None where there is no such one."""
    if is_pattern(index):
        return None
    group = await several(http, index)
    return next((each for each in found if group is not None and each.name == group.target), None)


async def located(
    http: Http, group: Several, ids: Sequence[str], params: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """What all of the indices hold of some ids, as a GET answers it; of an id that several hold, the newest.

    Raises
    ------
    ChercheError
        Where an index does not answer: nothing is known then, which is not "absent".
    """
    found: dict[str, dict[str, Any]] = {}
    wanted = [{"_index": name, "_id": id} for name in group.names for id in ids]
    for start in range(0, len(wanted), _ADDRESSES):
        request = Request("POST", "/_mget", {"docs": wanted[start : start + _ADDRESSES]}, params)
        for doc in (await http.send(request, what=f'index "{group.name}"'))["docs"]:
            if "error" in doc:
                raise of_item(503, doc["error"], f'index "{group.name}", document "{doc["_id"]}"')
            if doc.get("found"):
                found[doc["_id"]] = doc
    return found


async def write(http: Http, group: Several, documents: Sequence[StoredDocument], *, sleep: Sleep) -> list[WriteResult]:
    """Write documents where they lie, new ones under the name; one result each, in order.

    One that was written meanwhile by somebody else is ABORTED. One that lies in an index of another encoding
    is refused: its weights would be of another model than its neighbours'.
    """
    there = await located(http, group, [one.id for one in documents if one.id], {"_source": "false"})
    kinds = {each.name: each.meta.get("cherche", {}).get("fingerprint") for each in await _facts(http, group)}
    writer = Writer(http, group.name, sleep=sleep)
    items: list[Item] = []
    for position, document in enumerate(documents):
        try:
            items.append(_item(position, document, group, there.get(document.id), kinds))
        except ChercheError as error:
            writer.refuse(position, WriteResult(document.id, error))
    return await writer.deliver(items, len(documents))


def _item(
    position: int, document: StoredDocument, group: Several, there: Json | None, kinds: Mapping[str, Any]
) -> Item:
    if there is None:
        return item(position, document, "create" if group.is_stream else "index")
    lies = str(there["_index"])
    if kinds.get(lies) != kinds.get(group.target, kinds.get(lies)):
        raise precondition(
            f'document "{document.id}" lies in index "{lies}", which is of another encoding than "{group.target}"',
            f"feed that index by its name, or delete the document there: {lies}",
        )
    address = {"_index": lies, "if_seq_no": there["_seq_no"], "if_primary_term": there["_primary_term"]}
    if "_routing" in there:
        address["routing"] = there["_routing"]
    return item(position, document, "index", address)


async def _facts(http: Http, group: Several) -> tuple[IndexFacts, ...]:
    return await lifecycle.facts(http, group.name)


async def _target(http: Http, index: str) -> str:
    """The index that an alias's writes go to; "" where it says none of several."""
    if is_pattern(index):
        raise invalid(f"{index!r} stands for several indices", "name the one to write to, or an alias of it")
    reply = await http.send(Request("GET", f"/_alias{index_path(index)}"), what=f'index "{index}"')
    return next((name for name, entry in reply.items() if entry["aliases"][index].get("is_write_index")), "")


def age(name: str) -> tuple[int, str]:
    """Order of indices as rollovers number them.

    >>> sorted([".ds-a-2024.09.01-000010", ".ds-a-2024.10.01-000009"], key=age)[-1]
    '.ds-a-2024.09.01-000010'
    """
    number = re.search(r"-(\d{6,})$", name)
    return int(number.group(1)) if number else 0, name
