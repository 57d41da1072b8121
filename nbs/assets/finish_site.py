"""What Quarto leaves to do: it runs this file once it has rendered the site (`post-render` in _quarto.yml).

No page loads anything from another host, the fields of classes are listed, the search finds functions first,
the Markdown twins link to each other, and llms.txt lists the pages.
"""
import ast
import html as html_module
import json
import os
import posixpath
import re
from pathlib import Path

# pandas tables bring these along for their interactive form, which no page uses
REMOTE_SCRIPT = re.compile(r'<script[^>]*\bsrc="https?://[^"]*"[^>]*></script>\s*')
REQUIRE_SHIM = re.compile(r'<script[^>]*>define\(\'jquery\'[^<]*</script>\s*')
# nbdev shows this in place of the fields of a named tuple or a protocol; the table of fields says what there is
EMPTY_SIGNATURE = re.compile(
    r'<div class="sourceCode"[^>]*><pre[^>]*>(?:(?!</pre>).)*?VAR_POSITIONAL.*?</pre></div>', re.S)
NOTEBOOK_LINK = re.compile(r"""(\(|href=")((?:[\w./]*/)?)(?:\d\d_)?(\w+)\.ipynb(#[\w.-]+)?(\)|")""")
# The head of a table in two rows, as pandas writes it if the index has a name
TWO_HEAD_ROWS = re.compile(
    r"<thead>\s*<tr[^>]*>((?:(?!</tr>).)*)</tr>\s*<tr[^>]*>((?:(?!</tr>).)*)</tr>\s*</thead>", re.S)
HEAD_CELL = re.compile(r"<th[^>]*>(.*?)</th>", re.S)
FIELD_TABLE = re.compile(r'<table class="table table-sm fields">.*?</table>', re.S)
# The entry of a function or a class: a heading that is its name alone, and before the next heading its docstring.
SYMBOL = re.compile(
    r'<h3[^>]*data-anchor-id="(?P<anchor>[\w.-]+)"[^>]*>(?P<name>[\w.]+)</h3>'
    r'(?:(?!<h\d[ >]).)*?<p><em>(?P<docstring>(?:(?!<h\d[ >]).)*?)</em></p>', re.S)


def class_fields(package):
    "The fields of every class of the package: class name -> rows of name, type, default and meaning."
    found = {}
    for path in sorted(Path(package).glob("*.py")):
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if not isinstance(node, ast.ClassDef) or node.name.startswith("_"): continue
            fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
            if fields: found[node.name] = [field_row(field, lines) for field in fields]
    return found


def field_row(field, lines):
    "Name, type, default and meaning of a field."
    _, _, meaning = lines[field.end_lineno - 1].partition("#")
    default = ast.unparse(field.value) if field.value else ""
    return field.target.id, ast.unparse(field.annotation), default, meaning.strip()


def field_table(rows):
    "Fields as an HTML table."
    head = "<tr><th>field</th><th>type</th><th>default</th><th>meaning</th></tr>"
    body = []
    for name, kind, default, meaning in rows:
        code = "".join(f"<td><code>{html_module.escape(part)}</code></td>" if part else "<td></td>"
            for part in (name, kind, default))
        body.append(f"<tr>{code}<td>{html_module.escape(meaning)}</td></tr>")
    return f'<table class="table table-sm fields"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table>'


def with_fields(html, fields):
    "A page on which a table of fields stands below the docstring of each class."
    def add_table(found):
        rows = fields.get(found["name"])
        return found[0] + field_table(rows) if rows else found[0]
    html = FIELD_TABLE.sub("", html) # of an earlier call
    return SYMBOL.sub(add_table, html)


def head_cells(row): return [cell.replace("&nbsp;", "").strip() for cell in HEAD_CELL.findall(row)]


def with_one_head_row(html):
    "A page on which the name of an index stands beside the names of the columns, not in a row of its own."
    def merge(found):
        columns, names = head_cells(found[1]), head_cells(found[2])
        if "colspan" in found[0] or len(columns) != len(names): return found[0]
        pairs = list(zip(columns, names, strict=True))
        if any(column and name for column, name in pairs): return found[0] # the columns have a name, too
        cells = "".join(f"<th>{column or name}</th>" for column, name in pairs)
        return f'<thead><tr class="header">{cells}</tr></thead>'
    return TWO_HEAD_ROWS.sub(merge, html)


def finish_page(html):
    "A page without remote scripts, without signatures that say nothing, and without rows that are nearly empty."
    html = REMOTE_SCRIPT.sub("", html)
    html = REQUIRE_SHIM.sub("", html)
    return with_one_head_row(EMPTY_SIGNATURE.sub("", html))


def with_local_links(page, html, ids, site):
    """A page whose links to other pages of the site are relative.

    nbdev links each name in backticks to its entry; what has no entry of its own leads to its page.
    """
    def relative(found):
        target, anchor = found[1], found[2] or ""
        if target not in ids: return found[0]
        if anchor[1:] not in ids[target]: anchor = ""
        return f'href="{posixpath.relpath(target, posixpath.dirname(page) or ".")}{anchor}"'
    return re.sub(rf'(?<=<a )href="{re.escape(site)}/([\w./-]+\.html)(#[^"]*)?"', relative, html)


def finish_twin(markdown):
    "The Markdown of a page, with links to the Markdown of other pages."
    return NOTEBOOK_LINK.sub(r"\1\2\3.html.md\4\5", markdown)


def title_and_description(html):
    "What the head of a page says about it."
    title = re.search(r'<h1 class="title">(.*?)</h1>', html, re.S)
    about = re.search(r'<meta name="description" content="([^"]*)"', html)
    plain = re.sub(r"<[^>]+>", "", title[1]).strip() if title else ""
    return html_module.unescape(plain), html_module.unescape(about[1]) if about else ""


def symbol_entries(pages):
    "Entries for the search index: a function or a class is found by its name, before the prose that mentions it."
    for page, html in pages.items():
        for symbol in SYMBOL.finditer(html):
            address = f"{page}#{symbol['anchor']}"
            text = re.sub(r"<[^>]+>", "", symbol["docstring"])
            yield {"objectID": address, "href": address, "title": symbol["name"], "section": "",
                "text": text, "crumbs": ["Reference", page.removesuffix(".html")]}


def llms_text(pages, about, settings):
    "The file llms.txt: what the site is, and one line a page, in the order of the sidebar."
    lines = [f"# {about['title']}", "", f"> {about['description']}", "", "## Pages", ""]
    sidebar = settings.split("sidebar:")[1]
    for folder, stem in dict.fromkeys(re.findall(r"((?:\w+/)?)(?:\d\d_)?(\w+)\.ipynb", sidebar)):
        page = f"{folder}{stem}.html"
        if page not in pages: continue
        title, sentence = title_and_description(pages[page])
        lines.append(f"- [{title}]({about['site-url']}/{page}.md): {sentence}")
    return "\n".join(lines) + "\n"


def website(folder):
    "Title, description and address of the site, as nbdev writes them for Quarto."
    text = (folder/"nbdev.yml").read_text(encoding="utf-8")
    return dict(re.findall(r'^ *(title|description|site-url): "(.*)"$', text, re.M))


def main():
    out = Path(os.environ["QUARTO_PROJECT_OUTPUT_DIR"])
    about = website(Path.cwd())
    root = next(folder for folder in Path.cwd().parents if (folder/"settings.ini").exists())
    settings = (root/"_quarto.yml").read_text(encoding="utf-8")
    fields = class_fields(root/"fakenews_nb")
    pages = {}
    for path in sorted(out.rglob("*.html")):
        pages[path.relative_to(out).as_posix()] = with_fields(finish_page(path.read_text(encoding="utf-8")), fields)
    ids = {page: set(re.findall(r'\bid="([^"]+)"', html)) for page, html in pages.items()}
    for page, html in pages.items():
        if page != "404.html": pages[page] = with_local_links(page, html, ids, about["site-url"]) # 404: no fixed place
        (out/page).write_text(pages[page], encoding="utf-8")
    index = json.loads((out/"search.json").read_text(encoding="utf-8"))
    symbols = list(symbol_entries(pages))
    names = {entry["objectID"] for entry in symbols}
    entries = symbols + [entry for entry in index if entry["objectID"] not in names]
    (out/"search.json").write_text(json.dumps(entries), encoding="utf-8")
    for path in sorted(out.rglob("*.html.md")):
        path.write_text(finish_twin(path.read_text(encoding="utf-8")), encoding="utf-8")
    (out/"llms.txt").write_text(llms_text(pages, about, settings), encoding="utf-8")


if __name__ == "__main__": main()
