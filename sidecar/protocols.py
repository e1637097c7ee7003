"""Protocols of what the pipeline uses and does not build: models, encoders and the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol, Self

from cherche_models.types import Encoding, Tokens
from sidecar.errors import ChercheError
from sidecar.values.documents import StoredDocument, WriteResult
from sidecar.values.first_stage import EnginePage, Query
from sidecar.values.index import EngineInfo, Gaps, Identity, IndexGroup, IndexMeta, IndexStats, SetupPlan
from sidecar.values.maintenance import Load, Placement, Removal, Room, Serving, ShardRange
from sidecar.values.model import Encoded, Kind, Lane, ModelDescription


class Model(Protocol):
    """Text to tokens, tokens to weights and embeddings. Blocking; called off the event loop."""

    @property
    def info(self) -> ModelDescription:
        """What the model is."""
        ...

    @property
    def concurrent_queries(self) -> bool:
        """Whether `encode` may be called with queries in one thread while another encodes documents."""
        ...

    def prepare(self, kind: Kind) -> Callable[[], None] | None:
        """What must be done before texts of a kind are encoded, in seconds, off the event loop; None for nothing."""
        ...

    def tokenize(self, texts: Sequence[str], kind: Kind, max_length: int = 0, *, beyond: bool = False) -> list[Tokens]:
        """Cut texts into tokens; 0 for the model's own maximum.

        With `beyond` the maximum may be more than the model reads: for text that is cut into windows afterwards.
        """
        ...

    def encode(self, tokens: Sequence[Tokens], kind: Kind) -> list[Encoding]:
        """One forward pass over one batch; results in order.

        Document weights are not pruned and not on the grid yet. An
        `embeddings` row belongs to the token that `kept` names.
        """
        ...

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """Positions of the tokens that have a row in `Encoding.embeddings`."""
        ...

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """Vocabulary id → idf from the model's own table, for queries without a pass; None without a table."""
        ...


class Engine(Protocol):
    """A store of documents with a lexical and a sparse first stage."""

    def as_caller(self, identity: Identity) -> Self:
        """The same engine, acting with a caller's credentials."""
        ...

    async def info(self) -> EngineInfo:
        """Product, version and limits."""
        ...

    async def meta(self, index: str) -> IndexMeta | None:
        """How `index` was set up; None where it exists and was not.

        Raises
        ------
        ChercheError
            NOT_FOUND where there is no such index.
        """
        ...

    async def list_indices(self) -> tuple[IndexGroup, ...]:
        """All indices that the caller may see, those that are encoded alike together; none is no error."""
        ...

    async def plan(self, index: str, meta: IndexMeta) -> SetupPlan:
        """The requests that `setup` would make. Writes nothing; the index may be missing."""
        ...

    async def setup(self, index: str, meta: IndexMeta) -> SetupPlan:
        """Create the index or add the mapping to it; a second call changes only ``_meta``."""
        ...

    async def remove(self, index: str, *, dry_run: bool = False, keeps_versions: bool = False) -> Removal:
        """Take everything out again, or only say what that would do; `keeps_versions` as in `update`."""
        ...

    async def read(
        self, index: str, ids: Sequence[str], routings: Mapping[str, str] | None = None
    ) -> dict[str, StoredDocument]:
        """What is stored under `ids`, codes and terms included; missing ids are absent.

        Sees every acknowledged write. Routing values by id are those that the documents are about to be written
        with; None where they are not known: then documents that have one are found as soon as a search finds them.
        """
        ...

    async def requires_routing(self, index: str) -> bool:
        """Whether every document must be written with a routing value."""
        ...

    async def write(self, index: str, documents: Sequence[StoredDocument]) -> list[WriteResult]:
        """Write a bulk; one result per document, in order. Only acknowledged documents have no error."""
        ...

    async def identities(self, index: str) -> frozenset[str]:
        """What a name stands for: a value for each concrete index, another one when it is created again."""
        ...

    async def refresh(self, index: str) -> None:
        """Make every acknowledged write searchable."""
        ...

    async def search(self, index: str, query: Query) -> EnginePage:
        """The first stage: hits in descending order of score, ties by id where the engine can."""
        ...

    async def close_pit(self, pit: str) -> None:
        """Give a point in time back; one that is gone already is no error."""
        ...

    async def document_frequencies(
        self, index: str, features: Sequence[tuple[int, str]], *, max_age: float = 0.0
    ) -> tuple[list[int], int]:
        """Documents holding each (vocabulary id, feature name), and documents in all.

        As counted up to `max_age` seconds ago, unless the number of documents is known to have changed by 5 % since.
        """
        ...

    async def stats(self, index: str) -> IndexStats:
        """Documents in all, encoded, pending."""
        ...

    async def hazards(self, index: str) -> tuple[str, ...]:
        """What loses data as the index is, each with its next step; nothing where it is sound."""
        ...

    async def gaps(self, index: str, meta: IndexMeta) -> Gaps:
        """Documents with text and without weights or codes, by reason; see `Gaps`."""
        ...

    async def sample(self, index: str, size: int) -> list[StoredDocument]:
        """Some documents, for estimates."""
        ...

    async def groups(self, index: str, *, max_age: float = 0.0) -> tuple[IndexGroup, ...]:
        """The concrete indices behind a name, those that are encoded alike together, as read within `max_age` seconds.

        Raises
        ------
        ChercheError
            NOT_FOUND where there is none.
        """
        ...

    async def shards(self, index: str) -> tuple[ShardRange, ...]:
        """The shards behind a name, each with a mark: every write up to it is seen once the index is refreshed."""
        ...

    def pages(
        self, shard: ShardRange, after: int, meta: IndexMeta, *, incomplete: bool = False, whole_source: bool = False
    ) -> AsyncIterator[list[StoredDocument]]:
        """Documents of a shard written after `after` and not after its mark, in that order, page by page.

        With their version and whether they are complete, without terms and codes. Their source holds the encoded
        fields, with `whole_source` all of them. With `incomplete` only those that lack weights or codes, or wait
        for them.
        """
        ...

    async def foreign_versions(self, index: str, size: int) -> int:
        """How many documents of a sample have versions that somebody else gives them."""
        ...

    async def versions(self, index: str, places: Sequence[tuple[str, str]], meta: IndexMeta) -> list[StoredDocument]:
        """Documents of a concrete index by id and routing, as a search finds them: with version, terms and codes.

        Their source holds the encoded fields; those that are not found are absent.
        """
        ...

    async def update(self, documents: Sequence[StoredDocument], *, keeps_versions: bool = False) -> list[WriteResult]:
        """Put weights and codes beside documents that are still of the version given; one result each, in order.

        With `keeps_versions` their versions stay as they are, which takes reading and writing each as a whole.
        ABORTED where another write came first, NOT_FOUND where the document was deleted.
        """
        ...

    async def successors(self) -> Successors:
        """What fills a successor index and lets it take the place of another.

        Raises
        ------
        ChercheError
            FAILED_PRECONDITION where the engine knows no aliases.
        """
        ...

    async def load(self) -> Load | None:
        """How busy the cluster is; None where there is none, or where it does not say."""
        ...

    async def room(self, index: str) -> Room | None:
        """Free disk and what an index takes; None where that is not known."""
        ...

    def scan(self, index: str, ids: Sequence[str] = ()) -> AsyncIterator[StoredDocument]:
        """All documents, each once; in ascending order of id, except on Elasticsearch, which does not sort by id.

        With `ids` only those that have one of these: several, where routings or indices share an id.
        """
        ...

    async def aclose(self) -> None:
        """Close connections and files."""
        ...


class Successors(Protocol):
    """Successor indices: each is filled beside another index while that one serves, and then takes its place."""

    async def serving(self, index: str) -> Serving:
        """What a name stands for.

        Raises
        ------
        ChercheError
            NOT_FOUND.
        """
        ...

    async def create(self, successor: str, like: str, meta: IndexMeta) -> None:
        """Make an index with the mappings and settings of another, for another encoding; one that is there stays.

        Raises
        ------
        ChercheError
            ALREADY_EXISTS where there is one that is set up for something else.
        """
        ...

    async def held(self, index: str, documents: Sequence[StoredDocument]) -> dict[str, StoredDocument]:
        """What an index holds under the ids (and routing) of documents; sees every acknowledged write.

        With their version, without terms and codes: one that was written ``ok`` is complete, since a successor is
        written by nobody else.
        """
        ...

    async def place(self, index: str, placements: Sequence[Placement]) -> list[WriteResult]:
        """Write whole documents over the versions given, past any ingest pipeline; ABORTED where those changed."""
        ...

    async def discard(self, documents: Sequence[StoredDocument]) -> list[WriteResult]:
        """Delete documents that are still of the version they were read in."""
        ...

    async def absent(self, index: str, documents: Sequence[StoredDocument]) -> list[StoredDocument]:
        """Those of some documents that an index does not hold; sees every acknowledged write."""
        ...

    async def announce(
        self, old: str, new: str, read: Mapping[str, int], marks: Mapping[str, int], *, is_back: bool = False
    ) -> None:
        """Note in both mappings that an index follows another: how far it was copied, how far it is written.

        `is_back` where it served before the other one did.
        """
        ...

    async def switch(self, alias: str, old: Sequence[str], new: Sequence[str]) -> None:
        """Let an alias stand for other indices, at once, and every other alias of the indices that it stood for."""
        ...

    async def quiet(self, index: str) -> None:
        """Let no final pipeline run on what is placed in an index; it is given back when the index begins to serve."""
        ...

    async def freeze(self, index: str, *, frozen: bool) -> None:
        """Refuse all writes to an index, or take them again; once it returns, none is still on its way."""
        ...

    async def clone(self, index: str, name: str) -> None:
        """Copy a frozen index, by links to its files; the copy takes writes. An earlier copy of it is replaced."""
        ...

    async def replace(self, index: str, new: str) -> None:
        """Delete an index and let an alias of its name stand for another, at once; its own aliases move along."""
        ...

    async def roll(self, stream: str, meta: IndexMeta) -> str:
        """Begin the next index of a data stream, with another encoding; its name."""
        ...


class Encoder(Protocol):
    """A model behind its batcher: what the pipeline awaits."""

    @property
    def info(self) -> ModelDescription:
        """What the model is."""
        ...

    async def tokenize(
        self, texts: Sequence[str], kind: Kind, max_length: int = 0, *, beyond: bool = False
    ) -> list[Tokens]:
        """Tokens only, off the event loop; `beyond` as in `Model.tokenize`."""
        ...

    async def encode(
        self,
        texts: Sequence[str],
        kind: Kind,
        *,
        lane: Lane,
        max_length: int = 0,
        timeout: float | None = None,
    ) -> list[Encoded | ChercheError]:
        """Encode texts in shared batches; one result per text, in order.

        A text that breaks the model yields its own INVALID_ARGUMENT or INTERNAL
        error, its neighbours succeed.

        Raises
        ------
        ChercheError
            RESOURCE_EXHAUSTED before anything is queued, DEADLINE_EXCEEDED, UNAVAILABLE.
        """
        ...

    async def encode_tokens(
        self, tokens: Sequence[Tokens], kind: Kind, *, lane: Lane, timeout: float | None = None
    ) -> list[Encoded | ChercheError]:
        """The same from tokens: for texts that were cut field by field."""
        ...

    def kept(self, tokens: Tokens, kind: Kind) -> list[int]:
        """As `Model.kept`."""
        ...

    def idf(self, tokens: Tokens) -> dict[int, float] | None:
        """As `Model.idf`."""
        ...


class BatchObserver(Protocol):
    """What a batcher reports, from several threads."""

    def queue(self, lane: Lane, waiting: int, oldest: float) -> None:
        """Texts of a lane that wait now, and for how many seconds the oldest of all has."""

    def batch(self, real: int, padded: int, seconds: float) -> None:
        """A batch ran: tokens without and with padding."""

    def dropped(self, count: int) -> None:
        """Nobody waited any longer for these texts."""

    def refused(self, lane: Lane) -> None:
        """A call was refused because too much waits already."""

    def isolated(self, reason: str) -> None:
        """A batch was split because a text broke it (``poison``) or memory ran out (``memory``)."""


class Encoders(Protocol):
    """The models a sidecar serves."""

    def named(self, name: str) -> Encoder:
        """A served model; "" is the default.

        Raises
        ------
        ChercheError
            NOT_FOUND naming the served ones; UNAVAILABLE while it loads.
        """
        ...

    def ready(self) -> tuple[Encoder, ...]:
        """All that can answer; the pipeline picks from them by an index's fingerprint."""
        ...
