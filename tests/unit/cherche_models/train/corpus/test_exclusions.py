from __future__ import annotations

from cherche_models.evaluate.searches import FURTHER, SEARCHES
from cherche_models.train.corpus.base import Document
from cherche_models.train.corpus.exclusions import Exclusions, of_searches


def test_names_mentions_and_alike_texts_are_excluded() -> None:
    exclusions = Exclusions(["shutil.rmtree"], ["Delete an entire directory tree."], ["Delete a folder"])
    assert exclusions.reason(Document("shutil.rmtree", "Anything.")) == "excluded name"
    assert exclusions.reason(Document("Files", "Call shutil.rmtree() for that.")) == "excluded name"
    assert exclusions.reason(Document("rimraf", "Deletes an entire directory tree")) == "excluded text"
    assert exclusions.reason(Document("os.rmdir", "Remove one empty directory of a tree of directories.")) == ""
    assert exclusions.reason(Document("shutil — Files", "Anything.")) == ""
    assert Exclusions(["shutil"]).reason(Document("shutil — Files: Copying", "Anything.")) == "excluded name"
    assert Exclusions(["asyncio.tasks.wait_for"]).reason(Document("a", "Call asyncio.wait_for().")) == "excluded name"
    begun = Exclusions(texts=["Delete an entire directory tree and everything that is in it."])
    longer = "It is a good day to delete an entire directory tree and everything that is on this disk of yours."
    assert begun.reason(Document("a", longer)) == "excluded text"
    assert exclusions.query("delete a folder?")
    assert not exclusions.query("delete a file")


def test_every_search_has_a_documented_target_that_is_excluded() -> None:
    exclusions = of_searches((*SEARCHES, *FURTHER))
    assert exclusions.query(SEARCHES[0].text)
    assert exclusions.reason(Document("anywhere", str(str.swapcase.__doc__))) == "excluded text"
    for search in (*SEARCHES, *FURTHER):
        assert all(exclusions.reason(Document(target, "Whatever it says.")) for target in search.targets)
