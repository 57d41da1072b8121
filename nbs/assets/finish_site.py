"""What Quarto leaves to do: it runs this file once it has rendered the site (`post-render` in _quarto.yml).

No page loads anything from another host, the fields of classes are listed, tables and signatures are easy to read,
the search finds functions first, the Markdown twins link to each other, and llms.txt lists the pages.
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
# The divided widths of a table written in Markdown; a browser finds better ones
COLUMN_WIDTHS = re.compile(r"<colgroup>.*?</colgroup>\s*", re.S)
TABLE = re.compile(r"<table.*?</table>", re.S)
ROW = re.compile(r"<tr.*?</tr>", re.S)
CELL = re.compile(r"<(t[dh])([^>]*)>(.*?)</t[dh]>", re.S)
NUMBER = re.compile(r"[-\u2212+]?[\d.,]+(?:e[-+]?\d+)?(?:\u2013[\d.,]+)?(?: ?%)?(?: [\u00b1(].*)?|nan|NaN|\u2013")
# Empty lines at the start, in the middle and at the end of a signature
EMPTY_LINE = r'<span id="cb\d+-\d+"><a [^>]*></a>\s*</span>'
EMPTY_START = re.compile(rf'(<code class="sourceCode python">){EMPTY_LINE}\n')
EMPTY_END = re.compile(rf"\n{EMPTY_LINE}(</code>)")
NO_PARAMETERS = re.compile(rf'\(</span>\n{EMPTY_LINE}\n<span id="cb\d+-\d+"><a [^>]*></a>\)')
BLOCK = re.compile(r"<(pre|script|style)\b.*?</\1>", re.S) # left as it is
SHORT_CODE = re.compile(r"<code>([^<\n]{1,28})</code>")
CURRENT_PAGE = re.compile(r'<a class="nav-link active" href="([^"]*)" aria-current="page">')
NAME_LINK = re.compile(r'<a href="([\w./-]*\.html)(?:#([\w.-]*))?">(<code>([\w.]+)</code>)</a>')
# The entry of a function or a class: a heading that is its name alone, and before the next heading its docstring.
SYMBOL = re.compile(
    r'<h3[^>]*data-anchor-id="(?P<anchor>[\w.-]+)"[^>]*>(?P<name>[\w.]+)</h3>'
    r'(?:(?!<h\d[ >]).)*?<p><em>(?P<docstring>(?:(?!<h\d[ >]).)*?)</em></p>', re.S)


def public_definitions(package, kind):
    "The public functions (kind `ast.FunctionDef`) or classes (`ast.ClassDef`), each with the lines of its file."
    for path in sorted(Path(package).glob("*.py")):
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if isinstance(node, kind) and not node.name.startswith("_"): yield node, lines


def class_fields(package):
    "The fields of every class of the package: class name -> rows of name, type, default and meaning."
    found = {}
    for node, lines in public_definitions(package, ast.ClassDef):
        fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
        if fields: found[node.name] = [field_row(field, lines) for field in fields]
    return found


def field_row(field, lines):
    "Name, type, default and meaning of a field."
    _, _, meaning = lines[field.end_lineno - 1].partition("#")
    default = ast.unparse(field.value) if field.value else ""
    return field.target.id, ast.unparse(field.annotation), default, meaning.strip()


def field_table(rows):
    "Fields as an HTML table, without the column of defaults if there are none."
    has_defaults = any(default for _, _, default, _ in rows)
    columns = ["field", "type", "default", "meaning"] if has_defaults else ["field", "type", "meaning"]
    head = f"<tr>{''.join(f'<th>{column}</th>' for column in columns)}</tr>"
    body = []
    for name, kind, default, meaning in rows:
        parts = [name, kind, default] if has_defaults else [name, kind]
        code = "".join(f"<td><code>{html_module.escape(part)}</code></td>" if part else "<td></td>" for part in parts)
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


def is_number(cell): return bool(NUMBER.fullmatch(re.sub(r"<[^>]+>", "", cell[3]).strip()))


def align_cells(row, is_numeric):
    "A row of a table with the cells of numeric columns aligned to the right; is_numeric: a truth value per column."
    columns = iter(is_numeric)
    def align(cell):
        tag, attributes, content = cell.groups()
        if not next(columns): return cell[0]
        return f'<{tag}{attributes} style="text-align: right; white-space: nowrap">{content}</{tag}>'
    return CELL.sub(align, row)


def with_aligned_numbers(html):
    "A page on which columns of numbers are aligned to the right, and no number is broken over two lines."
    def align(found):
        rows = [list(CELL.finditer(row)) for row in ROW.findall(found[0])]
        body = [row for row in rows if row and row[0][1] == "td"]
        widths = {len(row) for row in rows}
        if not body or len(widths) > 1 or re.search("(col|row)span|text-align", found[0]): return found[0]
        is_numeric = [all(map(is_number, column)) for column in zip(*body, strict=True)]
        return ROW.sub(lambda row: align_cells(row[0], is_numeric), found[0])
    return TABLE.sub(align, html)


def with_trim_signatures(html, properties):
    "A page whose signatures have no empty lines; a property has no brackets."
    html = EMPTY_END.sub(r"\1", EMPTY_START.sub(r"\1", html))
    html = NO_PARAMETERS.sub("()", html)
    for name in properties:
        _, _, attribute = name.rpartition(".")
        signature = re.compile(rf'(data-anchor-id="[^"]*">{re.escape(name)}</h3>\s*<div[^>]*><pre[^>]*><code[^>]*>'
            rf'<span[^>]*><a [^>]*></a>)<span class="kw">def</span> {attribute}\(\)(?:</span>)?<span class="op">-&gt;')
        html = signature.sub(rf'\1{attribute}<span class="op">: ', html)
    return html


def class_properties(package):
    "The properties of the classes of the package, as Class.name."
    found = []
    for node, _ in public_definitions(package, ast.ClassDef):
        for item in node.body:
            decorators = [ast.unparse(each) for each in getattr(item, "decorator_list", [])]
            if "property" in decorators: found.append(f"{node.name}.{item.name}")
    return found


def starred_parameters(package):
    "What nbdev's signatures leave out: function -> parameter, the stars before it, and the comment that is lost."
    found = {}
    for node, lines in public_definitions(package, ast.FunctionDef):
        keywords, rest = node.args.kwonlyargs, node.args.kwarg
        starred = []
        if keywords and not node.args.vararg: starred.append((keywords[0].arg, "*, ", ""))
        if rest:
            _, _, comment = lines[rest.end_lineno - 1].partition("#")
            starred.append((rest.arg, "**", comment.strip()))
        if starred: found[node.name] = starred
    return found


def with_stars(html, starred):
    "A page whose signatures tell keyword arguments from others."
    for function, parameters in starred.items():
        for parameter, stars, comment in parameters:
            entry = rf'data-anchor-id="[^"]*">{function}</h3>(?:(?!</pre>).)*?'
            line = re.compile(rf"({entry}</a>    )({parameter}:.*?)(?=\n)", re.S)
            note = f' <span class="co"># {html_module.escape(comment)}</span>' if comment else ""
            html = line.sub(lambda found, stars=stars, note=note: found[1] + stars + found[2] + note, html, count=1)
    return html


def outside_blocks(change, html):
    "Change what is no code block, script or style."
    parts, end = [], 0
    for block in BLOCK.finditer(html):
        parts += [change(html[end:block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, change(html[end:])])


def with_unbroken_words(html):
    "A page on which a short name stays on one line, and a number with its per cent sign; long headings may be broken."
    def change(text):
        text = SHORT_CODE.sub(r'<code class="short">\1</code>', text)
        text = re.sub(r"(?<=\d) %", "&nbsp;%", text)
        return re.sub(r"(<h[34][^>]*>)([\w.]+)(</h[34]>)",
            lambda found: found[1] + re.sub(r"([._])(?=\w)", r"\1<wbr>", found[2]) + found[3], text)
    return outside_blocks(change, html)


def with_current_page(page, html):
    "A page whose bar marks this page as the current one, and no other."
    def mark(found):
        if posixpath.normpath(posixpath.join(posixpath.dirname(page), found[1])) == page: return found[0]
        return f'<a class="nav-link" href="{found[1]}">'
    return CURRENT_PAGE.sub(mark, html)


def without_empty_links(page, html, ids):
    "A page on which no name links to the page it stands on, or to another one, without having an entry there."
    def keep(found):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page), found[1]))
        has_entry = found[2] in ids.get(target, ())
        is_public = target != page and not found[4].startswith("_")
        return found[0] if has_entry or (is_public and not found[2]) else found[3]
    return NAME_LINK.sub(keep, html)


def finish_page(html):
    "A page without remote scripts, without signatures that say nothing, and without rows that are nearly empty."
    html = REMOTE_SCRIPT.sub("", html)
    html = REQUIRE_SHIM.sub("", html)
    html = with_one_head_row(EMPTY_SIGNATURE.sub("", html))
    html = re.sub(r"(</h2>)\s*<hr>", r"\1", html) # the heading has a line already
    return with_aligned_numbers(COLUMN_WIDTHS.sub("", html))


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
    properties, starred = class_properties(root/"fakenews_nb"), starred_parameters(root/"fakenews_nb")
    pages = {}
    for path in sorted(out.rglob("*.html")):
        html = with_trim_signatures(finish_page(path.read_text(encoding="utf-8")), properties)
        html = with_stars(html, starred)
        pages[path.relative_to(out).as_posix()] = with_fields(html, fields)
    ids = {page: set(re.findall(r'\bid="([^"]+)"', html)) for page, html in pages.items()}
    for page, html in pages.items():
        if page != "404.html": # its place is not fixed
            html = with_current_page(page, with_local_links(page, html, ids, about["site-url"]))
            html = without_empty_links(page, html, ids)
        (out/page).write_text(with_unbroken_words(html), encoding="utf-8")
    index = json.loads((out/"search.json").read_text(encoding="utf-8"))
    symbols = list(symbol_entries(pages))
    names = {entry["objectID"] for entry in symbols}
    entries = symbols + [entry for entry in index if entry["objectID"] not in names]
    (out/"search.json").write_text(json.dumps(entries), encoding="utf-8")
    for path in sorted(out.rglob("*.html.md")):
        path.write_text(finish_twin(path.read_text(encoding="utf-8")), encoding="utf-8")
    (out/"llms.txt").write_text(llms_text(pages, about, settings), encoding="utf-8")


if __name__ == "__main__": main()
