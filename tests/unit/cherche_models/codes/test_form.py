from __future__ import annotations

import pytest

from cherche_models.codec import CODECS, LARGEST_POOL, Form


@pytest.mark.parametrize("wrong", ["residual3", "pool0+int8", "pool17+int8", "int8+pool2", "none", ""])
def test_what_is_no_form_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="codec"):
        Form.parse(wrong)


def test_an_unknown_codec_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=f"'int4' is not one of {', '.join(CODECS)}, pooled"):
        Form.parse("int4")


def test_every_form_reads_back() -> None:
    forms = list(Form.all())
    assert len(set(forms)) == len(CODECS) * LARGEST_POOL
    assert [Form.parse(str(form)) for form in forms] == forms


def test_a_form_needs_a_codebook_where_its_codec_does() -> None:
    assert [Form.parse(text).needs_codebook for text in ("int8", "pool2+int8", "residual2", "pool3+residual1")] == [
        *(False, False),
        *(True, True),
    ]
