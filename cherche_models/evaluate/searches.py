"""Searches of Python's documentation, each with the entries that answer it; no training mixture contains these."""

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

# Written before the shipped models were trained, and not used for any choice: reported beside the others.
FURTHER = (
    Search("shrink data before storing it", ("gzip.compress", "bz2.compress", "lzma.compress")),
    Search("pick a winner by chance", ("random.Random.choice",)),
    Search("remember results of earlier calls of a function", ("functools.lru_cache", "functools.cache")),
    Search("middle value of a list of numbers", ("statistics.median",)),
    Search("break a long line into several short ones", ("textwrap.wrap", "textwrap.fill")),
    Search("count how often each word occurs", ("collections.Counter", "collections.Counter.most_common")),
    Search("ask the user for a secret without showing it", ("getpass.unix_getpass",)),
    Search("how long a piece of code takes to run", ("timeit.timeit", "timeit.Timer.timeit", "timeit")),
    Search("turn a nested data structure into readable text", ("pprint.pformat", "pprint.pprint")),
    Search("open a page in the user's browser", ("webbrowser.open", "webbrowser.open_new_tab")),
)
