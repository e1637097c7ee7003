"""BM25 as Lucene computes it, over a full-text table of SQLite."""

from cherche_models.lexical.bm25 import TIE_BREAKER
from cherche_models.lexical.scorer import Scorer
from cherche_models.lexical.table import FullText, lengths, stems
from cherche_models.lexical.words import STOP_WORDS, words

__all__ = ["STOP_WORDS", "TIE_BREAKER", "FullText", "Scorer", "lengths", "stems", "words"]
