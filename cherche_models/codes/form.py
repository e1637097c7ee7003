"""Names of codecs and pooling, as an index's settings write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cherche_models.codes.table import CODECS

LARGEST_POOL = 16
_FORM = re.compile(r"(?:pool([1-9][0-9]?)\+)?(\w+)")


@dataclass(frozen=True, slots=True)
class Form:
    """How documents' token embeddings are stored: written ``int8``, ``residual2``, ``pool2+residual1``.

    Attributes
    ----------
    codec : str
        A name of `CODECS`.
    pool : int
        About so many tokens become one first; 1 for none. See `cherche_models.codes.pool`.
    """

    codec: str
    pool: int = 1

    @classmethod
    def parse(cls, text: str) -> Form:
        """Read one.

        Raises
        ------
        ValueError
            Naming the codecs there are.

        >>> Form.parse("pool2+residual1"), str(Form.parse("pool1+int8"))
        (Form(codec='residual1', pool=2), 'int8')
        """
        found = _FORM.fullmatch(text)
        if not found or found[2] not in CODECS:
            raise ValueError(f"codec {text!r} is not one of {', '.join(CODECS)}, pooled (pool2+int8) or not")
        factor = int(found[1] or 1)
        if factor > LARGEST_POOL:
            raise ValueError(f"codec {text!r} pools {factor} tokens into one: {LARGEST_POOL} at most")
        return cls(found[2], factor)

    @classmethod
    def all(cls) -> Iterator[Form]:
        """Every codec with every pooling."""
        for name in CODECS:
            for factor in range(1, LARGEST_POOL + 1):
                yield cls(name, factor)

    def __str__(self) -> str:
        return self.codec if self.pool == 1 else f"pool{self.pool}+{self.codec}"

    @property
    def needs_codebook(self) -> bool:
        """Whether codes of this form name a codebook."""
        return CODECS[self.codec].needs_codebook
