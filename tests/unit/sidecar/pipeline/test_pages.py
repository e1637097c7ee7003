import pytest

from sidecar.errors import ChercheError, Code
from sidecar.pipeline.pages import Page, PageSigner

PAGE = Page("pit", 10, "query", "print", 0.5, 100, True)


def test_a_page_survives_its_token() -> None:
    signer = PageSigner(b"k" * 16)
    assert signer.read(signer.write(PAGE)) == PAGE


def test_any_sidecar_with_the_key_reads_it_and_no_other() -> None:
    token = PageSigner(b"k" * 16).write(PAGE)
    assert PageSigner(b"k" * 16).read(token) == PAGE
    with pytest.raises(ChercheError, match="CHERCHE_PAGE_TOKEN_KEY") as caught:
        PageSigner(b"l" * 16).read(token)
    assert caught.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("token", ["", "=", "é", "a", "abcd", "\ud800", "A" * 200])
def test_what_was_never_a_token_is_refused(token: str) -> None:
    with pytest.raises(ChercheError, match="not issued by this service"):
        PageSigner(b"k" * 16).read(token)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="has 15 bytes, 16 are needed"):
        PageSigner(b"k" * 15)
