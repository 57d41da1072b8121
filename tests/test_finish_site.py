"What nbs/assets/finish_site.py makes of the pages that Quarto has rendered."
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT/"nbs"/"assets"))
import finish_site  # noqa: E402  (a script, not a package)

FIELDS = {"Run": [("folder", "Path", "", "where it is"), ("seed", "int", "0", "of the shuffle < all")]}


def heading(name, anchor=None, level=3):
    "A heading as Quarto writes it."
    return f'<h{level} class="anchored" data-anchor-id="{anchor or name.lower()}">{name}</h{level}>\n'


def entry(name, docstring, anchor=None): return f"{heading(name, anchor)}<pre>def</pre>\n<p><em>{docstring}</em></p>\n"


def test_fields_stand_below_the_docstring_of_their_class():
    page = heading("Run", level=2) + "<p>Prose.</p>" + entry("Run", "A training.", "run-1") + entry("load", "Load it.")
    finished = finish_site.with_fields(page, FIELDS)
    before, _, after = finished.partition('<table class="table table-sm fields">')
    assert before.endswith("<p><em>A training.</em></p>")
    assert "<td><code>seed</code></td><td><code>int</code></td><td><code>0</code></td>" in after
    assert "of the shuffle &lt; all" in after
    assert after.index("</table>") < after.index("Load it.")
    assert finish_site.with_fields(finished, FIELDS) == finished # a page is rendered once, but finished each time


def test_a_class_without_docstring_takes_none_of_the_next_heading():
    page = heading("Run") + entry("load", "Load it.")
    assert finish_site.with_fields(page, FIELDS) == page


def test_class_fields(tmp_path):
    lines = ["class Run:", "    folder:Path # where it is", "    seed:int=0", "class _Private:", "    n:int"]
    (tmp_path/"training.py").write_text("\n".join(lines))
    assert finish_site.class_fields(tmp_path) == {
        "Run": [("folder", "Path", "", "where it is"), ("seed", "int", "0", "")]}


def test_the_search_finds_functions_and_leaves_other_headings_alone():
    page = entry("predict", "Predict <code>all</code>.") + heading("The list", "the-list") + entry("save", "Save.")
    entries = list(finish_site.symbol_entries({"evaluation.html": page}))
    assert [(found["title"], found["text"]) for found in entries] == [("predict", "Predict all."), ("save", "Save.")]
    assert entries[0]["href"] == "evaluation.html#predict"


def test_nothing_is_loaded_from_elsewhere():
    remote = '<script src="https://cdn.example/require.js"></script>\n<script>define(\'jquery\', [], f)</script>\n'
    kept = '<script src="site_libs/x.js"></script><a href="https://example.org">x</a>'
    assert finish_site.finish_page(remote + kept) == kept


def test_signatures_that_say_nothing_are_removed():
    nothing = '<div class="sourceCode" id="cb1"><pre class="python"><code>f(args:VAR_POSITIONAL)</code></pre></div>'
    kept = '<div class="sourceCode" id="cb2"><pre class="python"><code>f(x)</code></pre></div>'
    assert finish_site.finish_page(kept + nothing + kept) == kept + kept


@pytest.mark.parametrize("first, second, merged", [
    (["", "n"], ["label", ""], ["label", "n"]), (["", "", "n"], ["a", "b", "&nbsp;"], ["a", "b", "n"]),
    (["true label", "n"], ["set", ""], None), (["", "n"], ["label"], None)])
def test_the_name_of_an_index_stands_in_the_head(first, second, merged):
    def row(cells): return f"<tr>{''.join(f'<th>{cell}</th>' for cell in cells)}</tr>"
    head, body = f"<thead>{row(first)}\n{row(second)}</thead>", "<tbody><tr><td>1</td></tr></tbody>"
    expected = f"<thead>{row(merged)}</thead>".replace("<tr>", '<tr class="header">') if merged else head
    assert finish_site.finish_page(head + body) == expected + body


def test_twins_link_to_twins():
    links = '<a href="05_stats.ipynb">s</a> [a](10_cleaning.ipynb#rules) [b](../how_to/serve_it.ipynb) [c](https://example.org/x.html)'
    expected = '<a href="stats.html.md">s</a> [a](cleaning.html.md#rules) [b](../how_to/serve_it.html.md) [c](https://example.org/x.html)'
    assert finish_site.finish_twin(links) == expected


def test_links_to_the_site_are_relative():
    site, ids = "https://example.org", {"stats.html": {"holm"}, "how_to/serve_it.html": set()}
    page = "".join(f'<a href="{site}/{link}">x</a>' for link in ("stats.html#holm", "stats.html#_lost", "gone.html"))
    expected = f'<a href="../stats.html#holm">x</a><a href="../stats.html">x</a><a href="{site}/gone.html">x</a>'
    assert finish_site.with_local_links("how_to/serve_it.html", page, ids, site) == expected


def test_llms_text_lists_the_pages_of_the_sidebar():
    head = '<h1 class="title">{}</h1><meta name="description" content="{}">'
    pages = {"index.html": head.format("fakenews_nb", "Fine-tune"), "stats.html": head.format("stats", "A &amp; B")}
    about = {"title": "fakenews_nb", "description": "What it is", "site-url": "https://example.org"}
    text = finish_site.llms_text(pages, about, "sidebar:\n - index.ipynb\n - 05_stats.ipynb\n - lost.ipynb\n")
    assert text.endswith("- [fakenews_nb](https://example.org/index.html.md): Fine-tune\n"
        "- [stats](https://example.org/stats.html.md): A & B\n")
