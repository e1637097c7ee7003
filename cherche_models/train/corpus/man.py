"""Sections of manual pages in man(7) or mdoc(7) markup, as plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cherche_models.train.corpus.html import Section
from cherche_models.train.corpus.text import one_line

_SPECIAL = {
    "-": "-", "(aq": "'", "(dq": '"', "(lq": '"', "(rq": '"', "(oq": "'", "(cq": "'", "(bu": "•", "(em": "—",
    "(en": "–", "(co": "©", "e": "\\", "&": "", "|": "", "^": "", "/": "", ",": "", "%": "", ":": "", "~": " ",
    " ": " ", "0": " ", "'": "'", "`": "`", "(ha": "^", "(ti": "~", "(ga": "`", "(rs": "\\", "(mu": "×", "(Tm": "™",
}  # fmt: skip
_ESCAPE = re.compile(r"\\(?:f(?:\[[^\]]*\]|\(..|.)|s[+-]?\d+|\*(?:\[[^\]]*\]|\(..|.)|\[([^\]]*)\]|(\(..)|(.))")
_COMMENT = re.compile(r'\\".*')
_NAME = re.compile(r"\s+(?:-|–|—|\\-)+\s+")
_ARGUMENT = re.compile(r'"((?:[^"]|"")*)"|((?:\\.|\S)+)')
_PARAGRAPH = frozenset({"PP", "P", "LP", "TP", "IP", "HP", "sp", "Pp", "It", "RS", "RE", "TQ", "Bl", "El", "br", "Lp"})
_JOINED = frozenset({"BR", "BI", "IR", "IB", "RB", "RI"})
_SPACED = frozenset(
    {"B", "I", "R", "SM", "SB", "Nm", "Fl", "Ar", "Cm", "Op", "Pa", "Xr", "Dv", "Ev", "Fn", "Li", "Em", "Sy", "Ic"}
    | {"Va", "Vt", "Er", "Ql", "Dq", "Sq", "Pq", "No", "Aq", "Ft", "Fa", "Ad", "An", "At", "Bx", "Fx", "Nx", "Ox", "Ux"}
    | {
        "Lk",
        "Mt",
        "Tn",
        "St",
        "Sx",
        "Brq",
        "Oo",
        "Oc",
        "Po",
        "Pc",
        "Do",
        "Dc",
        "Qq",
        "Bq",
        "In",
        "Fd",
        "Cd",
        "Nd",
        "D1",
    }
)
_CALLABLE = _SPACED | {"Ns", "Ap", "Xo", "Xc", "Dl"}
_BEGIN_HIDDEN, _END_HIDDEN = {"nf": "fi", "EX": "EE", "TS": "TE", "Bd": "Ed", "ig": ".", "de": ".", "Vb": "Ve"}, ""


@dataclass(slots=True)
class Page:
    """A page's name, the line that describes it, and its sections."""

    name: str = ""
    description: str = ""
    sections: list[Section] = field(default_factory=list)


def page(source: str) -> Page:
    r"""Read a manual page; literal blocks and tables are left out.

    >>> found = page(".TH DUCK 1\n.SH NAME\nduck \\- make a noise\n.SH OPTIONS\n.TP\n.B \\-q\nBe\n.IR quiet .\n")
    >>> found.name, found.description, [(s.heading, s.paragraphs) for s in found.sections]
    ('duck', 'make a noise', [('OPTIONS', ['-q Be quiet.'])])
    """
    result, current = Page(), Section("")
    text: list[str] = []
    found: list[Section] = []
    hidden = ""
    tag = False

    def flush() -> None:
        if line := one_line(" ".join(text)):
            current.paragraphs.append(line)
        text.clear()

    for line in source.splitlines():
        macro, rest = _request(line)
        if hidden:
            hidden = "" if macro == hidden else hidden
        elif macro in _BEGIN_HIDDEN:
            flush()
            hidden = _BEGIN_HIDDEN[macro]
        elif macro in ("SH", "Sh", "SS", "Ss"):
            flush()
            heading = one_line(" ".join(_arguments(rest)))
            current = Section(heading)
            found.append(current)
        elif macro in _PARAGRAPH:
            if not tag:
                flush()
            tag = False
            if macro in ("It", "IP"):
                text.extend(_arguments(rest)[:1] if macro == "IP" else _words(macro, rest))
        elif macro == "" or macro in _JOINED or macro in _SPACED:
            text.extend(_words(macro, rest))
        if not line.strip():
            flush()
    flush()
    for section in found:
        if section.heading.upper() in ("NAME", "BEZEICHNUNG") and not result.name:
            _name(result, section)
        elif section.paragraphs:
            result.sections.append(section)
    return result


def _name(result: Page, section: Section) -> None:
    line = " ".join(section.paragraphs)
    parts = _NAME.split(line, maxsplit=1)
    if len(parts) == 2:
        result.name, result.description = parts[0].split(",")[0].strip(), parts[1]


def _request(line: str) -> tuple[str, str]:
    """The macro of a line and the rest; "" for text."""
    if line[:1] not in (".", "'"):
        return "", line
    parts = _COMMENT.sub("", line[1:]).strip().split(None, 1)
    if not parts:
        return "comment", ""
    return parts[0], parts[1] if len(parts) > 1 else ""


def _arguments(rest: str) -> list[str]:
    return [plain(quoted.replace('""', '"') if quoted else bare) for quoted, bare in _ARGUMENT.findall(rest)]


def _words(macro: str, rest: str) -> list[str]:
    if macro == "":
        return [plain(_COMMENT.sub("", rest))]
    if macro == "Nd":
        return ["-", *_arguments(rest)]
    arguments = _arguments(rest)
    if macro in _JOINED:
        return ["".join(arguments)]
    if macro[0].isupper() and len(macro) > 1 and macro[1:].islower():
        return [_mdoc([macro, *arguments])]
    return [" ".join(arguments)]


def _mdoc(arguments: list[str]) -> str:
    made: list[str] = []
    dash = glue = False
    for argument in arguments:
        if argument in _CALLABLE:
            dash = argument == "Fl"
            if argument == "Nd":
                made.append("-")
            glue = glue or argument in ("Ns", "Ap")
            continue
        shown = f"-{argument}" if dash and argument not in ",.;:()" else argument
        if made and (glue or argument in {",", ".", ";", ":", ")", "?", "!"}):
            made[-1] += shown
        else:
            made.append(shown)
        glue = False
    return " ".join(made)


def plain(text: str) -> str:
    r"""The text without roff escapes.

    >>> plain(r"\fBduck\fP \-\-quiet \(aqx\(aq")
    "duck --quiet 'x'"
    """

    def shown(match: re.Match[str]) -> str:
        bracketed, two, one = match.groups()
        if bracketed is not None:
            return _SPECIAL.get(f"({bracketed}", _SPECIAL.get(bracketed, ""))
        return _SPECIAL.get(two or one or "", "")

    return _ESCAPE.sub(shown, text)
