"""Checks, and the next step of what is out of order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from click.testing import CliRunner

from cherche_models.kernel.library import Loaded, described
from sidecar.cli import cherche
from sidecar.cli import doctor as doctor_module
from sidecar.cli.doctor import has_other_text
from sidecar.pipeline import stored
from sidecar.values.documents import StoredDocument
from sidecar.values.encoded import DumpedDocument
from sidecar.values.index import EngineInfo, Fingerprint, IndexMeta, IndexReport, IndexStats, TextField
from sidecar.values.model import ModelDescription, ModelState, ServedModel
from tests.unit.sidecar.cli.conftest import Command

if TYPE_CHECKING:
    from sidecar.client.client import Client


def test_doctor_passes_an_index_and_reports_a_missing_one(articles: Command) -> None:
    report = articles.json("doctor", "articles")
    assert report["ok"]
    assert {"environment", "torch", "model fake", "engine", "index articles"} <= {c["what"] for c in report["checks"]}
    [model] = [check for check in report["checks"] if check["what"] == "model fake"]
    assert model["detail"].endswith(f"; MaxSim: {described()}")
    found = articles.json("doctor", "nowhere", code=1)
    (finding,) = [check for check in found["checks"] if not check["is_ok"]]
    assert "cherche setup nowhere" in finding["next_step"]


def test_what_encodes_short_queries_is_said() -> None:
    one = ModelDescription("mine", architecture="splade", device="cpu", dtype="fp32", queries="kernel (plain)")
    check = doctor_module._model(ServedModel("mine", ModelState.READY, description=one))
    assert check.detail == "READY, splade on cpu in fp32; queries: kernel (plain)"
    both = replace(one, documents="torch")
    check = doctor_module._model(ServedModel("mine", ModelState.READY, description=both))
    assert check.detail.endswith("; queries: kernel (plain); documents: torch")


def test_doctor_reports_that_no_sidecar_answers(tmp_path: Path) -> None:
    result = CliRunner().invoke(cherche, ["doctor", "--server", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert "cherche serve" in result.stdout


def test_what_a_sidecar_elsewhere_computes_with_is_not_missed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor_module, "version", version)
    monkeypatch.setattr(doctor_module, "installed", lambda: Loaded(reason="the kernel was not compiled"))
    alone = {check.what: check for check in doctor_module.environment()}
    beside = {check.what: check for check in doctor_module.environment("sidecar:50551")}
    assert not alone["torch"].is_ok
    assert "pip install" in alone["torch"].next_step
    assert beside["torch"].is_ok
    assert "sidecar:50551" in beside["torch"].detail
    assert not beside["grpcio"].is_ok


def test_torch_is_not_missed_where_the_kernel_encodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor_module, "version", version)
    monkeypatch.setattr(doctor_module, "installed", lambda: Loaded((cast("Any", None),)))
    found = {check.what: check for check in doctor_module.environment()}
    assert found["torch"].is_ok
    assert "the compiled kernel encodes" in found["torch"].detail
    assert not found["tokenizers"].is_ok


META = IndexMeta("m", Fingerprint("s", "c"), (TextField("text"),), 64)
REPORT = IndexReport("books", META, IndexStats(1, 1, 0), EngineInfo("fake", "1", 1), True)


def dumped(source: dict[str, Any], **changes: Any) -> DumpedDocument:
    """A document that was encoded as ``sky``."""
    encoded = stored.from_index(StoredDocument("1", {"text": "sky"}), META)
    assert isinstance(encoded, stored.EncodableDocument)
    return replace(DumpedDocument("1", json.dumps(source).encode(), encoded.hash, "ok", "t", "c"), **changes)


@pytest.mark.parametrize(
    ("document", "is_other"),
    [
        (dumped({"text": "sky", "views": 2}), False),
        (dumped({"text": "sea"}), True),
        (dumped({"text": ""}), True),
        (dumped({"text": "sky"}, hash="of another model"), True),
        (dumped({"text": "sea"}, state="pending"), False),
        (dumped({"text": "sea"}, terms_digest=""), False),
        (dumped({"text": "sky"}, state="no_text", terms_digest="", codes_digest=""), True),
    ],
)
def test_a_text_is_compared_with_what_was_encoded_of_it(document: DumpedDocument, is_other: bool) -> None:
    """What waits, and what lost its weights, is counted elsewhere."""
    assert has_other_text(document, REPORT) is is_other


async def test_documents_with_another_text_are_to_be_mended_by_a_backfill() -> None:
    class Held:
        async def dump_index(self, index: str, *, sample: int) -> AsyncIterator[DumpedDocument]:
            for source in ({"text": "sky"}, {"text": "sea"}):
                yield dumped(source)

    found = await doctor_module._compared(cast("Client", Held()), "books", REPORT, False)
    assert (found.is_ok, found.next_step) == (False, "cherche backfill books")
    assert "text of 2 documents, a sample, compared with what was encoded: 1 have another one" in found.detail


def test_doctor_compares_a_sample_or_every_document(articles: Command) -> None:
    for options, said in (((), "3 documents, a sample, compared"), (("--all",), "3 documents compared")):
        checks = articles.json("doctor", "articles", *options)["checks"]
        assert any(said in check["detail"] for check in checks)
    assert "--all is of INDEX, which is not given" in articles("doctor", "--all", code=2).stderr
