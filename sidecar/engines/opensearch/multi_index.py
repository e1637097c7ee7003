"""Writing and reading by id where a name stands for several indices, or for a data stream.

The cluster takes new documents of such a name into one index and has no way to ask for an id in all of them; a data
stream besides refuses to overwrite. So ids are looked for in each index, and what is found is written where it lies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.engines.opensearch import answers, lifecycle
from sidecar.engines.opensearch.bulk import Item, Sleep, Writer, item
from sidecar.engines.opensearch.errors import of_part, root_cause
from sidecar.engines.opensearch.http import Http, Request, index_path, is_pattern
from sidecar.engines.opensearch.mapping import DEFAULT_MAX_WINDOW, IndexFacts
from sidecar.engines.opensearch.templates import BACKING
from sidecar.errors import ChercheError, invalid, precondition
from sidecar.values.documents import Json, StoredDocument, WriteResult

_ADDRESSES = 2000  # of one request
_WINDOW = "index.max_result_window"


@dataclass(frozen=True, slots=True)
class MultiIndex:
    """What stands behind a name.

    Attributes
    ----------
    name : str
    names : tuple of str
        Concrete indices, the oldest first.
    target : str
        Where new documents go: the one index that takes them, or the name itself where the cluster must route
        them; "" where it takes none under this name.
    is_stream : bool
    window : int
        Most hits that one search of them may return.
    """

    name: str
    names: tuple[str, ...]
    target: str
    is_stream: bool
    window: int = DEFAULT_MAX_WINDOW

    @property
    def is_one(self) -> bool:
        """Whether it is one index, by its name or behind an alias."""
        return len(self.names) == 1 and not self.is_stream


async def identities(http: Http, index: str) -> dict[str, str]:
    """Concrete indices behind a name and their uuids.

    Raises
    ------
    ChercheError
        NOT_FOUND.
    """
    return {name: uuid for name, (uuid, _) in (await _settings(http, index)).items()}


async def window(http: Http, index: str) -> int:
    """Most hits that one search of all indices behind a name may return.

    Raises
    ------
    ChercheError
        NOT_FOUND.
    """
    return _least(await _settings(http, index))


async def _settings(http: Http, index: str) -> dict[str, tuple[str, int]]:
    """Uuid and window of each concrete index behind a name."""
    path, what = index_path(index, "_settings", f"index.uuid,{_WINDOW}"), f'index "{index}"'
    reply = await http.send(Request("GET", path, params={"flat_settings": "true"}), what=what)
    with answers.reading(what):
        found = {name: entry["settings"] for name, entry in reply.items()}
        return {
            name: (str(one["index.uuid"]), int(one.get(_WINDOW, DEFAULT_MAX_WINDOW))) for name, one in found.items()
        }


def _least(behind: Mapping[str, tuple[str, int]]) -> int:
    return min((most for _, most in behind.values()), default=DEFAULT_MAX_WINDOW)


async def resolve(http: Http, index: str) -> MultiIndex:
    """What a name stands for.

    Raises
    ------
    ChercheError
        NOT_FOUND.
    """
    behind = await _settings(http, index)
    names, most = tuple(sorted(behind, key=age)), _least(behind)
    if names == (index,):
        return MultiIndex(index, names, index, False, most)
    is_stream = any(name.startswith(BACKING) for name in names)
    return MultiIndex(index, names, names[-1] if is_stream else await _target(http, index, names), is_stream, most)


async def target(http: Http, index: str, found: Sequence[IndexFacts]) -> IndexFacts | None:
    """Of the indices behind a name the one that new documents go to; None where there is no such one."""
    if is_pattern(index):
        return None
    group = await resolve(http, index)
    return next((each for each in found if each.name == group.target), None)


async def located(
    http: Http, group: MultiIndex, addresses: Sequence[Json], params: Mapping[str, str]
) -> dict[str, Json]:
    """What all of the indices hold of some documents, as a GET answers it; of an id that several hold, the newest.

    Raises
    ------
    ChercheError
        Where an index does not answer: nothing is known then, which is not "absent".
    """
    found: dict[str, Json] = {}
    wanted = [{"_index": name, **address} for name in group.names for address in addresses]
    for start in range(0, len(wanted), _ADDRESSES):
        asked = wanted[start : start + _ADDRESSES]
        reply = await http.send(Request("POST", "/_mget", {"docs": asked}, params), what=f'index "{group.name}"')
        for doc in answers.documents(reply, f'index "{group.name}"', [one["_id"] for one in asked]):
            # Names are in order of age, and answers in order of the request: the newest index that holds an id stays.
            if is_found(doc, group.name):
                found[doc["_id"]] = doc
    return found


def addressed(id: str, routings: Mapping[str, str]) -> dict[str, str]:
    """A document of a request for several."""
    return {"_id": id, "routing": routings[id]} if routings.get(id) else {"_id": id}


def is_found(doc: Json, name: str) -> bool:
    """Whether an answer to a request for several documents holds one.

    Raises
    ------
    ChercheError
        For a missing index or a failed shard: nothing is known then, which is not "absent".
    """
    error = doc.get("error")
    if error is None:
        return bool(doc.get("found"))
    kind, reason = root_cause({"error": error})
    # Where the index requires a routing there is no document without one; the second is how the assembled
    # Elasticsearch of the tests says it.
    if kind == "routing_missing_exception" or reason == "type must not be null":
        return False
    raise of_part(error, f'index "{name}", document "{doc["_id"]}"')


async def write(
    http: Http, group: MultiIndex, documents: Sequence[StoredDocument], *, sleep: Sleep
) -> list[WriteResult]:
    """Write documents where they lie, new ones where new ones go; one result each, in order.

    An alias of one index is written by that index's name: a write that is on its way when the alias is switched
    stays with what it was encoded for. Of several, a document that was written meanwhile by somebody else is
    ABORTED, and one that lies in an index of another encoding is refused: its weights would be of another model
    than its neighbours'.
    """
    if group.is_one:
        return await Writer(http, group.target, sleep=sleep).write(documents)
    addresses = [addressed(one.id, {one.id: one.routing}) for one in documents if one.id]
    there = await located(http, group, addresses, {"_source": "false"})
    found = await lifecycle.facts(http, group.name)
    with answers.reading(f'_meta.cherche of index "{group.name}"'):
        kinds = {each.name: each.meta.get("cherche", {}).get("fingerprint") for each in found}
    writer = Writer(http, group.name, sleep=sleep)
    items: list[Item] = []
    for position, document in enumerate(documents):
        try:
            items.append(_item(position, document, group, there.get(document.id), kinds))
        except ChercheError as error:
            writer.refuse(position, WriteResult(document.id, error))
    return await writer.deliver(items, len(documents))


def _item(
    position: int, document: StoredDocument, group: MultiIndex, there: Json | None, kinds: Mapping[str, Any]
) -> Item:
    if there is None:
        return item(position, document, "create" if group.is_stream else "index")
    lies = str(there["_index"])
    # A target that is no concrete index (an alias with routing, or none) has no encoding to compare with.
    if kinds.get(lies) != kinds.get(group.target, kinds.get(lies)):
        raise precondition(
            f'document "{document.id}" lies in index "{lies}", which is of another encoding than "{group.target}"',
            f"feed that index by its name, or delete the document there: {lies}",
        )
    address = {"_index": lies, "if_seq_no": there["_seq_no"], "if_primary_term": there["_primary_term"]}
    if "_routing" in there:
        address["routing"] = there["_routing"]
    return item(position, document, "index", address)


async def _target(http: Http, index: str, names: Sequence[str]) -> str:
    """The index that an alias's writes go to; its own name where it has a routing; "" where it names none."""
    if is_pattern(index):
        raise invalid(f"{index!r} stands for several indices", "name the one to write to, or an alias of it")
    reply = await http.send(Request("GET", f"/_alias{index_path(index)}"), what=f'index "{index}"')
    with answers.reading(f'index "{index}"'):
        options = {name: entry["aliases"][index] for name, entry in reply.items()}
        # Under the index's own name a write would bypass the routing of the alias.
        if any("index_routing" in one for one in options.values()):
            return index
        if len(names) == 1:
            return names[0]
        return next((name for name, one in options.items() if one.get("is_write_index")), "")


def age(name: str) -> tuple[int, str]:
    """Order of indices as rollovers number them.

    >>> sorted([".ds-a-2024.09.01-000010", ".ds-a-2024.10.01-000009"], key=age)[-1]
    '.ds-a-2024.09.01-000010'
    """
    number = re.search(r"-(\d{6,})$", name)
    return int(number.group(1)) if number else 0, name
