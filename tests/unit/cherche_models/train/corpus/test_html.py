from __future__ import annotations

from cherche_models.train.corpus import html


def test_html_without_navigation_code_and_classes_to_skip() -> None:
    page = html.read(
        "<head><title>Ducks - The Site</title><style>p{}</style></head><nav><p>Home</p></nav>"
        "<h2>Description</h2><p>They <i>swim</i>&nbsp;far.</p><div class='toc x'><p>1</p><div>2</div></div>"
        "<pre>quack()</pre><h3>2.1. Food¶</h3><ul><li>Fish<li>Bread</ul>",
        "toc",
    )
    assert page.title == "Food"
    assert [(section.heading, section.paragraphs) for section in page.sections] == [
        ("Description", ["They swim far."]),
        ("Food", ["Fish", "Bread"]),
    ]


def test_a_page_of_labels_is_called_what_its_head_says() -> None:
    assert (
        html.read("<title>v.clean - GIS manual</title><h2>KEYWORDS</h2><p>a</p><h2>NAME</h2><p>b</p>").title
        == "v.clean"
    )
