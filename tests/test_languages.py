"Articles in any language: no letter is lost, different texts stay different, and near-duplicates are found."
import re
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer

from fakenews_nb.cleaning import LEVELS, clean_text
from fakenews_nb.splits import (
    _shingle_matrix,
    _similar_pairs,
    _text_key,
    _words,
    drop_duplicates,
    duplicate_groups,
    prepare_clean,
)

thorough = settings(max_examples=200, deadline=None, derandomize=True)

# Pairs of words that differ in vowel signs or other marks alone.
MARKS = {
    "Hindi": ("\u0915\u093f\u0932\u093e", "\u0915\u0940\u0932\u0940"),
    "Bengali": ("\u09ac\u09be\u09a8", "\u09ac\u09bf\u09a8"),
    "Tamil": ("\u0b95\u0bbe\u0bb2\u0bcd", "\u0b95\u0bbf\u0bb2\u0bbf"),
    "Telugu": ("\u0c15\u0c3e\u0c32", "\u0c15\u0c40\u0c32"),
    "Thai": ("\u0e01\u0e34\u0e19", "\u0e01\u0e31\u0e19"),
    "Burmese": ("\u1000\u102d", "\u1000\u102f"),
    "Khmer": ("\u1780\u17b7", "\u1780\u17bb"),
    "Arabic": ("\u0643\u064e\u062a\u064e\u0628", "\u0643\u064f\u062a\u0650\u0628"),
    "Hebrew": ("\u05d3\u05b8\u05d1\u05b8\u05e8", "\u05d3\u05b6\u05d1\u05b6\u05e8"),
    "Vietnamese": ("ma\u0323", "ma\u0309"),
}
UNSPACED = { # sentences without blanks, and what may be put before one
    "Chinese": ("\u4eca\u5929\u65e9\u6668\u67d0\u5e02\u516c\u5b89\u5c40\u95e8\u53e3\u53d1\u751f\u4e00\u8d77"
        "\u4e8b\u6545", "\u5feb\u8baf\uff1a"),
    "Japanese": ("\u6771\u4eac\u3067\u4eca\u65e5\u306e\u5348\u5f8c\u306b\u5927\u304d\u306a\u5730\u9707\u304c"
        "\u3042\u308a\u307e\u3057\u305f\u3068\u767a\u8868", "\u901f\u5831\uff1a"),
    "Thai": ("\u0e1d\u0e19\u0e15\u0e01\u0e2b\u0e19\u0e31\u0e01\u0e17\u0e35\u0e48"
        "\u0e01\u0e23\u0e38\u0e07\u0e40\u0e17\u0e1e\u0e40\u0e21\u0e37\u0e48\u0e2d\u0e27\u0e32"
        "\u0e19\u0e19\u0e35\u0e49", "\u0e02\u0e48\u0e32\u0e27 "),
    "Khmer": ("\u1797\u17d2\u179b\u17c0\u1784\u1792\u17d2\u179b\u17b6\u1780\u17cb\u1793\u17c5\u1797\u17d2\u1793\u17c6"
        "\u1796\u17c1\u1789\u1790\u17d2\u1784\u17c3\u1793\u17c1\u17c7", "\u1790\u17d2\u1798\u17b8 "),
}


def table_of(texts, labels=None):
    n = len(texts)
    labels = [row % 2 for row in range(n)] if labels is None else labels
    return pd.DataFrame({"id": [f"a{row}" for row in range(n)], "title": "", "text": texts, "label": labels,
        "date": "", "subject": "", "source": "t"})


@pytest.mark.parametrize("language", MARKS)
def test_marks_are_parts_of_letters(language):
    first, second = MARKS[language]
    assert _text_key("", first) != _text_key("", second)
    assert len(drop_duplicates(table_of([first, second]))[0]) == 2
    assert len(set(duplicate_groups(table_of([first, second])))) == 2
    for word in (first, second): assert _words(word) == [word]


@pytest.mark.parametrize("language", MARKS)
@pytest.mark.parametrize("level", LEVELS)
def test_cleaning_breaks_no_word(language, level):
    text = " ".join(MARKS[language])
    assert clean_text(text, LEVELS[level]) == text


@pytest.mark.parametrize("text", ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0995\u09cd\u200d\u09b7",
    "\u09b0\u200d\u09cd\u09af\u09be\u09ac", "\u0d85\u0dc1\u0dca\u200d\u0dbb"])
def test_joiners_stay_and_do_not_count(text):
    for rules in LEVELS.values(): assert clean_text(text, rules) == text
    bare = re.sub("[\u200c\u200d]", "", text)
    assert _text_key("", text) == _text_key("", bare)
    assert _words(bare) == [bare]
    assert _shingle_matrix([f"{text} {text}"]).nnz == 1


@thorough
@given(text=st.text(alphabet=st.characters(categories=["L", "M", "N", "P", "Z", "Cf"]), max_size=30))
def test_composed_or_not_is_the_same_text(text):
    assert _text_key("", unicodedata.normalize("NFD", text)) == _text_key("", unicodedata.normalize("NFC", text))


@thorough
@given(text=st.text(alphabet=st.characters(categories=["Lu", "Ll", "Lo", "Mn", "Mc", "Nd", "Zs", "Po"]), max_size=60),
    level=st.sampled_from(["light", "standard", "strict"]))
def test_cleaning_twice_changes_nothing_more(text, level):
    once = clean_text(text, LEVELS[level])
    assert clean_text(once, LEVELS[level]) == once


# ---- near-duplicates -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("language", UNSPACED)
def test_near_duplicates_are_found_without_blanks(language):
    sentence, before = UNSPACED[language]
    others = [other for name, (other, _) in UNSPACED.items() if name != language]
    texts = [*others, sentence, before + sentence, "It rained all day in the old town."]
    pairs = _similar_pairs(texts)
    assert pairs[["first", "second"]].to_numpy().tolist() == [[3, 4]]
    groups = duplicate_groups(table_of(texts))
    assert len(set(groups)) == len(texts) - 1


@thorough
@given(seed=st.integers(0, 10**6))
def test_different_chinese_texts_stay_apart(seed):
    rng = np.random.default_rng(seed)
    common = "".join(map(chr, 0x4e00 + rng.integers(0, 300, 40))) # few characters, so that texts share many
    texts = ["".join(rng.permutation(list(common))) for _ in range(6)]
    assert not len(_similar_pairs(texts))


def test_rows_keep_their_order_among_scripts():
    texts = []
    for sentence, before in UNSPACED.values():
        texts += [sentence, "It rained in the town", before + sentence, "", "a b c"]
    together = _shingle_matrix(texts)
    for row, text in enumerate(texts): assert (together[row] != _shingle_matrix([text])).nnz == 0


ENGLISH = st.text(alphabet=st.characters(categories=["Lu", "Ll", "Nd", "No", "Zs", "Po", "Pi", "Pf", "Pd", "So"],
    max_codepoint=0x2fff), max_size=60)


@thorough
@given(texts=st.lists(ENGLISH, min_size=1, max_size=5))
def test_text_without_marks_is_compared_as_ever(texts):
    vectorizer = HashingVectorizer(token_pattern=r"\w+", ngram_range=(2, 2), n_features=2**31 - 1, binary=True,
        norm=None, alternate_sign=False, dtype=np.float32)
    texts = [unicodedata.normalize("NFC", text) for text in texts]
    texts = [text for text in texts if not any(unicodedata.category(sign)[0] == "M" for sign in text.lower())]
    if not texts: return
    assert (_shingle_matrix(texts) != vectorizer.transform(texts)).nnz == 0


# ---- what is told ----------------------------------------------------------------------------------------------------

def distinct(sentence, n=30):
    "Texts of one script that do not resemble each other."
    rng = np.random.default_rng(0)
    return ["".join(rng.permutation(list(sentence*2))) for _ in range(n)]


@pytest.mark.parametrize("language", UNSPACED)
def test_the_user_is_told_that_the_rules_are_english(capsys, language):
    splits, _ = prepare_clean(table_of(distinct(UNSPACED[language][0])))
    told = capsys.readouterr().err
    assert "100 % of the letters are not Latin" in told
    assert "written for English" in told
    assert "runs of 3 characters" in told
    assert sum(map(len, splits.values())) == 30


def test_nothing_is_told_about_latin_letters(capsys):
    french = [f"{word} \u00e9t\u00e9 {row} \u00e0 l'\u00e9cole" for row, word in enumerate(["abc def ghi jkl"]*30)]
    prepare_clean(table_of([f"{text} {row*7} {row*11} {row*13} {row*17}" for row, text in enumerate(french)]))
    assert "Latin" not in capsys.readouterr().err
