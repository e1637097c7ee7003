from __future__ import annotations

from cherche_models.train.corpus import python


def test_docstrings_of_what_is_public_and_no_test() -> None:
    code = (
        '"""A module about ducks.\n\nMore on ducks."""\n'
        'class Duck:\n    def quack(self):\n        """Make noise.\n\n        Parameters\n        ----------\n'
        '        loud : bool\n            Or not.\n\n        Examples\n        --------\n        >>> 1\n        """\n'
        "    def _hidden(self):\n        '''Nothing.'''\n"
    )
    files = [("birds/_local.py", code), ("birds/tests/test_a.py", code), ("birds/odd.py", "def (")]
    first, second = python.documents(files)
    assert (first.title, first.summary, first.text) == ("birds", "A module about ducks.", "More on ducks.")
    assert (second.title, second.body) == ("birds.Duck.quack", "Make noise. Parameters loud : bool Or not.")
