"""The demo's searches: questions with the documentation that answers them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Search:
    """A question and the ids of entries, each of which answers it."""

    text: str
    targets: tuple[str, ...]


SEARCHES = (
    Search("run a command and capture what it prints", ("subprocess.run", "subprocess.check_output")),
    Search("who owns this file", ("pathlib.Path.owner", "pathlib.PathBase.owner")),
    Search("send an email", ("smtplib.SMTP.sendmail", "smtplib.SMTP.send_message")),
    Search("swap upper and lower case letters", ("str.swapcase",)),
    Search("similarity of two texts", ("difflib.SequenceMatcher.ratio",)),
    Search("show differences between two files", ("difflib.unified_diff", "difflib.context_diff", "filecmp.cmp")),
    Search("days in a month", ("calendar.monthrange",)),
    Search("guess the kind of a file from its name", ("mimetypes.guess_type", "mimetypes.MimeTypes.guess_type")),
    Search("delete a folder and everything inside it", ("shutil.rmtree",)),
    Search("temporary folder that is removed afterwards", ("tempfile.TemporaryDirectory",)),
    Search("wait until another thread is done", ("threading.Thread.join",)),
    Search("stop waiting after a number of seconds", ("asyncio.tasks.wait_for", "asyncio.timeouts.timeout")),
    Search("secure random password", ("secrets", "secrets.token_hex", "secrets.token_urlsafe")),
    Search("parse a web address", ("urllib.parse.urlparse", "urllib.parse.urlsplit")),
    Search("colour of the pen", ("turtle.TPen.pencolor", "turtle.TPen.color")),
    Search("lift the pen so nothing is drawn", ("turtle.TPen.penup",)),
)
