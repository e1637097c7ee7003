"""The demo's searches: natural questions, each with the documentation that answers it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Search:
    """A question and the entries that answer it; any of them counts."""

    text: str
    targets: tuple[str, ...]


SEARCHES = (
    Search("run a command and capture what it prints", ("subprocess.run", "subprocess.check_output")),
    Search("delete a folder and everything inside it", ("shutil.rmtree",)),
    Search("guess the kind of a file from its name", ("mimetypes.guess_type",)),
    Search("wait until another thread is done", ("threading.Thread.join",)),
    Search("temporary folder that is removed afterwards", ("tempfile.TemporaryDirectory",)),
    Search("days in a month", ("calendar.monthrange",)),
    Search("colour of the pen", ("turtle.TPen.pencolor", "turtle.TPen.color")),
)
