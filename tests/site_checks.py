"""What must hold for every page of the built site.

As a program: `python tests/site_checks.py _docs` prints the faults of a built site and ends with 1 if there are any.
"""
import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FROM_ELSEWHERE = re.compile(r"^(?:https?:)?//")
LOADED = { # tag -> the attribute that makes a browser load something
    "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "link": "href"}
LOADED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "manifest"}
REMOTE_STYLE = re.compile(r"(?:@import\s+|url\()\s*[\"']?(?:https?:)?//", re.I)
SITE_PATH = "/fakenews_nb/"
SITE = f"https://fakenews-nb.github.io{SITE_PATH}"
RAW_LINK = re.compile(r"\]\((?:https?:|[\w/.-]+\.(?:html|ipynb))")


@dataclass
class Page:
    "What the checks need to know of a page."
    links: list = field(default_factory=list)
    anchors: set = field(default_factory=set)
    loaded: list = field(default_factory=list)
    images_without_alt: list = field(default_factory=list)
    text: str = ""


class _Reader(HTMLParser):
    "Collect links, anchors, images and the text of a page."
    def __init__(self):
        super().__init__()
        self.page = Page()
        self.unseen = 0
        self.pre_is_output = False

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if values.get("id"): self.page.anchors.add(values["id"])
        if tag == "a" and values.get("name"): self.page.anchors.add(values["name"])
        if tag == "a" and values.get("href"): self.page.links.append(values["href"])
        has_alt = (values.get("alt") or "").strip()
        if tag == "img" and not has_alt: self.page.images_without_alt.append(values.get("src"))
        self._note_loaded(tag, values)
        self._note_unseen(tag, values)

    def _note_unseen(self, tag, values):
        is_output = tag == "pre" and "sourceCode" not in (values.get("class") or "") # what a cell has printed
        if tag == "pre": self.pre_is_output = is_output
        if tag in ("script", "style") or is_output: self.unseen += 1

    def _note_loaded(self, tag, values):
        address = values.get(LOADED.get(tag, ""), "")
        kinds = set((values.get("rel") or "").split())
        if address and (tag != "link" or kinds & LOADED_LINKS): self.page.loaded.append(address)

    def handle_endtag(self, tag):
        if tag in ("script", "style") or (tag == "pre" and self.pre_is_output): self.unseen -= 1

    def handle_data(self, data):
        if not self.unseen: self.page.text += data


def read_page(html):
    "Parse a page."
    reader = _Reader()
    reader.feed(html)
    return reader.page


def page_faults(html):
    "The faults that a page shows by itself."
    page = read_page(html)
    faults = [f"loads {address[:80]}" for address in page.loaded if FROM_ELSEWHERE.match(address)]
    if REMOTE_STYLE.search(html): faults.append("a style loads something from elsewhere")
    for image in page.images_without_alt: faults.append(f"no alt text: {str(image)[:60]}")
    for word in ("OptionInfo", "VAR_POSITIONAL"):
        if word in page.text: faults.append(f"a signature shows {word}")
    raw = RAW_LINK.search(page.text)
    if raw: faults.append(f"raw Markdown: …{page.text[max(0, raw.start() - 30):raw.end() + 20]!r}")
    return faults


def link_fault(root, pages, path, link):
    "What is wrong with a link of the page at `path`, or None; links to other hosts are not followed."
    parts = urlsplit(link.replace(SITE, SITE_PATH))
    if parts.scheme or parts.netloc or link in ("#", ""): return None
    target = path
    if parts.path.startswith(SITE_PATH): target = root/unquote(parts.path.removeprefix(SITE_PATH)) # on the page 404
    elif parts.path: target = (path.parent/unquote(parts.path)).resolve()
    if target.is_dir(): target = target/"index.html"
    if not target.is_file(): return f"dead link: {link}"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
        return f"no such anchor: {link}"
    return None


def site_faults(folder):
    "All faults of a built site, as lines `page: fault`."
    root = Path(folder).resolve()
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(root.rglob("*.html"))}
    pages = {path: read_page(text) for path, text in texts.items()}
    lines = []
    for path, text in texts.items():
        found = page_faults(text) + [link_fault(root, pages, path, link) for link in pages[path].links]
        lines += [f"{path.relative_to(root)}: {fault}" for fault in dict.fromkeys(found) if fault]
    for path in sorted(root.rglob("*.css")):
        if REMOTE_STYLE.search(path.read_text(encoding="utf-8")):
            lines.append(f"{path.relative_to(root)}: a style loads something from elsewhere")
    if not texts: lines.append(f"{folder}: no pages")
    return lines


if __name__ == "__main__":
    faults = site_faults(sys.argv[1])
    print(*faults, f"{len(faults)} faults", sep="\n")
    sys.exit(bool(faults))
