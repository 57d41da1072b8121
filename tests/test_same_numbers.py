"The same seed gives the same rows and the same words, from one version of this package to the next."
import hashlib

import pytest
from conftest import SHARED

# Of the ids, the titles and the bodies of each split: the first 16 digits of their SHA-256.
PREPARED = {
    ("sample", "clean"): {
        "train": ("9d20cc5d91d299fc", "4c61bb790ecb54b8", "2848e21bce41986b"),
        "validation": ("cbb89f01e5b1ceae", "acd7144b2c682757", "aad229902cf83627"),
        "test": ("bf2ee892f6d64af1", "3cfb615d42bf5e87", "10324c79c1a9d09e")},
    ("sample", "published"): {
        "train": ("7f88e499718da3d3", "94f8a93bf179e190", "b2a6f4bcbae52e09"),
        "validation": ("7fe75c89264eb7a7", "eae19ca5a4a5bbec", "87642e879bdc0419"),
        "test": ("276149ae7228922f", "4fa82338da541748", "5671e47bf6d6b542")},
    ("isot", "clean"): {
        "train": ("f3e39a823dc065f3", "d6e91acd4c958d42", "c7fcc709b653d443"),
        "validation": ("83478ec9a636b7b1", "4411cb6feb2e652f", "22b28aa73c27ee15"),
        "test": ("b641190a354dbb43", "b34432f022b925d1", "4d78ee86203dd895")},
    ("isot", "published"): {
        "train": ("b48b2d455053eceb", "d1795b589c7e0239", "15d9ec081044afa1"),
        "validation": ("5c33afbdf06e12c0", "033b46714d188fcd", "49b7d0df4c972e2b"),
        "test": ("bc66e24ca8729bbf", "e9b1c8d157beb8b9", "45c54cb98722c1eb")}}

# Of the titles and the bodies after each cleaning level: the sample whole, of ISOT each fifth article.
CLEANED = {
    ("sample", "light"): ("2dba9c4c357cee2e", "8430b80bafa4b84d"),
    ("isot", "light"): ("2b5fe0b78d4e07ac", "6edff6e0e7ca624e"),
    ("sample", "standard"): ("eebf52b10611da48", "9f56c6dc2fb6da4d"),
    ("isot", "standard"): ("04e8bdba32f79604", "9d83771e11242edc"),
    ("sample", "strict"): ("a5c5c9a922caf02b", "0414c78e785b796b"),
    ("isot", "strict"): ("250748253ad8ba4e", "0570c1fbeba81218")}


def digest(texts):
    "The beginning of a hash of texts, in which a missing one is the empty text."
    present = ["" if text is None or text != text else str(text) for text in texts]
    return hashlib.sha256("\x1e".join(present).encode()).hexdigest()[:16]


def folder_of(source):
    "Where a corpus lies; the test is skipped where it does not."
    if source == "sample": return None
    if not (SHARED/source).is_dir(): pytest.skip(f"the folder {source} is not there")
    return SHARED/source


@pytest.mark.parametrize("source, protocol", PREPARED)
def test_prepared_folders(source, protocol, tmp_path):
    from fakenews_nb import load_prepared, prepare
    prepare(source, tmp_path/"data", folder_of(source), protocol=protocol)
    dataset, _ = load_prepared(tmp_path/"data")
    for name, expected in PREPARED[source, protocol].items():
        assert tuple(digest(dataset[name][column]) for column in ("id", "title", "text")) == expected, name


@pytest.mark.parametrize("source, level", CLEANED)
def test_cleaned_texts(source, level):
    from fakenews_nb import clean_articles, load_articles
    from fakenews_nb.cleaning import cleaning_rules
    articles = load_articles(source, folder_of(source))
    if source == "isot": articles = articles.iloc[::5]
    cleaned = clean_articles(articles, cleaning_rules(level))
    assert (digest(cleaned.title), digest(cleaned.text)) == CLEANED[source, level]
