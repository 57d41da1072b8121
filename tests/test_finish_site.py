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


def table(*rows):
    "A table as Quarto writes it: a head and a body."
    head, *body = [[f"<{tag}>{cell}</{tag}>" for cell in row]
        for tag, row in zip(["th", *["td"]*len(rows)], rows, strict=False)]
    lines = "".join(f'<tr class="odd">{"".join(row)}</tr>' for row in body)
    return f'<table class="dataframe"><thead><tr>{"".join(head)}</tr></thead><tbody>{lines}</tbody></table>'


def test_columns_of_numbers_are_aligned():
    rows = [["svc", "0.95 (0.94–0.96)"], ["7", "−1,303"], ["8", "0.9–1"]]
    finished = finish_site.with_aligned_numbers(table(["model", "F1"], *rows))
    assert finished.count('style="text-align: right; white-space: nowrap"') == 4 # the head, and three cells
    assert "<th>model</th>" in finished
    assert '<td style="text-align: right; white-space: nowrap">−1,303</td>' in finished
    words = table(["model", "note"], ["svc", "a note"], ["tree", "7 articles"])
    assert finish_site.with_aligned_numbers(words) == words


def test_a_table_with_its_own_alignment_is_left_alone():
    own = table(["a"], ["1"]).replace("<td>", '<td style="text-align: left">')
    assert finish_site.with_aligned_numbers(own) == own


def signature(*lines):
    "A signature as Quarto writes it, a span for each line."
    spans = [f'<span id="cb7-{n}"><a href="#" aria-hidden="true"></a>{line}</span>' for n, line in enumerate(lines)]
    return f'<div class="sourceCode"><pre><code class="sourceCode python">{chr(10).join(spans)}</code></pre></div>'


def test_signatures_have_no_empty_lines():
    arrow = '<span class="op">-&gt;</span>Path'
    lines = ["", '<span class="kw">def</span> model(', "    ", f"){arrow}", ""]
    page = heading("Run.model", "run.model") + signature(*lines)
    method = finish_site.with_trim_signatures(page, [])
    assert f"model(){arrow}" in method
    assert method.count("<span id") == 1
    as_property = finish_site.with_trim_signatures(page, ["Run.model"])
    assert 'model<span class="op">: </span>Path' in as_property
    assert "def" not in as_property


def test_class_properties(tmp_path):
    lines = ["class Run:", "    @property", "    def model(self): pass", "    def load(self): pass"]
    (tmp_path/"training.py").write_text("\n".join(lines))
    assert finish_site.class_properties(tmp_path) == ["Run.model"]


def test_signatures_show_stars(tmp_path):
    lines = ["def load(", "    path,", "    *,", "    clean='none',", "    **more # for read", "    ): pass"]
    (tmp_path/"data.py").write_text("\n".join(lines))
    starred = finish_site.starred_parameters(tmp_path)
    assert starred == {"load": [("clean", "*, ", ""), ("more", "**", "for read")]}
    page = heading("load") + signature("def load(", "    path,", "    clean:str='none',", "    more:Any", ")")
    finished = finish_site.with_stars(page, starred)
    assert "</a>    *, clean:str='none'," in finished
    assert '</a>    **more:Any</span> <span class="co"># for read</span>' in finished


def test_short_names_and_numbers_stay_on_one_line():
    page = "<p><code>--out</code> 95 % of <code>a rather long line of code, which may break</code></p>"
    finished = finish_site.with_unbroken_words(f"<pre><code>9 %</code></pre>{page}{heading('Run.is_kept')}")
    assert finished.startswith("<pre><code>9 %</code></pre>") # what a cell has printed
    assert '<code class="short">--out</code> 95&nbsp;% of <code>a rather' in finished
    assert "Run.<wbr>is_<wbr>kept</h3>" in finished


def test_the_bar_marks_the_current_page_alone():
    link = '<a class="nav-link active" href="../get_started.html" aria-current="page">'
    assert "active" not in finish_site.with_current_page("tutorials/ensemble.html", link)
    assert finish_site.with_current_page("get_started.html", link.replace("../", "./")) == link.replace("../", "./")


def test_a_name_without_an_entry_is_no_link():
    def link(target, name): return f'<a href="{target}"><code>{name}</code></a>'
    ids = {"a.html": {"predict"}, "b.html": {"load"}}
    for kept in (link("a.html#predict", "predict"), link("b.html#load", "load"), link("b.html", "save")):
        assert finish_site.without_empty_links("a.html", kept, ids) == kept
    for dropped in (link("a.html", "train"), link("b.html", "_load"), link("b.html#gone", "gone")):
        assert "<a" not in finish_site.without_empty_links("a.html", dropped, ids)


def test_no_column_of_defaults_without_defaults():
    assert "default" in finish_site.field_table(FIELDS["Run"])
    assert "default" not in finish_site.field_table([("folder", "Path", "", "where it is")])
