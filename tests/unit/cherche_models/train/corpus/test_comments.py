from __future__ import annotations

import re

from cherche_models.train.corpus import comments


def test_a_comment_loses_its_markup_and_keeps_what_its_tags_say() -> None:
    found = comments.document(
        "Duck.quack",
        "Makes a {@link Noise}. See <b>also</b> [geese](http://a.b).\n```\nquack()\n```\n@param loud - how loud\n"
        "@internal\n@returns the noise",
    )
    assert found.summary == "Makes a Noise."
    assert found.text == "See also geese. loud - how loud. Returns the noise."


def test_comments_belong_to_the_declaration_after_them() -> None:
    code = "// Duck is\n// a bird.\ntype Duck int\n\n// nothing\n\nvar x int\n"
    assert list(comments.lines(code, "//", re.compile(r"type (\w+)|var (\w+)"))) == [("Duck", "Duck is\na bird.")]
