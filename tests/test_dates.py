"No cell of a column of dates ends a run; what cannot be read in one way is asked about."
import datetime
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fakenews_nb.core import DataError
from fakenews_nb.splits import prepare_clean, read_dates, split_by_date

thorough = settings(max_examples=300, deadline=None, derandomize=True)


def read(*cells, dtype=object, index=None):
    "Read cells; a warning is an error."
    table = pd.DataFrame({"date": pd.Series(list(cells), dtype=dtype)})
    if index is not None: table.index = index
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_dates(table)


SAME_MOMENT = [
    "2020-03-11T07:15:00+00:00", "2020-03-11T07:15:00Z", "2020-03-11 07:15", "2020-03-11T02:15:00-05:00",
    "Wed, 11 Mar 2020 07:15:00 GMT", "March 11, 2020 7:15 am", "20200311T071500", " 2020-03-11 07:15:00.000 ",
    "\u0662\u0660\u0662\u0660-\u0660\u0663-\u0661\u0661 07:15", pd.Timestamp("2020-03-11 07:15"),
    pd.Timestamp("2020-03-11 08:15", tz="Europe/Paris"), np.datetime64("2020-03-11T07:15"),
    datetime.datetime(2020, 3, 11, 7, 15)]


@pytest.mark.parametrize("cell", SAME_MOMENT, ids=str)
def test_all_zones_become_one(cell):
    dates = read(cell, "2019-01-01T00:00:00+09:00", "2019-01-01")
    assert dates[0] == pd.Timestamp("2020-03-11 07:15")
    assert dates.dt.tz is None


SAME_DAY = [
    "2016-02-29", "29 February 2016", "Feb 29, 2016", "29-Feb-16", "2/29/2016", "29.2.2016", "29/02/2016",
    "February 29th, 2016", datetime.date(2016, 2, 29), 20160229, 20160229., pd.Period("2016-02-29")]


@pytest.mark.parametrize("cell", SAME_DAY, ids=str)
def test_days(cell):
    assert read(cell)[0] == pd.Timestamp("2016-02-29")


@pytest.mark.parametrize("zone", ["", " EST", " CEST", " GMT", " UTC"])
def test_letters_of_a_zone_are_not_read(zone):
    assert read(f"Mon, 29 Feb 2016 19:20:06{zone}")[0] == pd.Timestamp("2016-02-29 19:20:06")


def test_years():
    assert read("2016", 2016, 2016., np.int64(2016)).dt.year.tolist() == [2016]*4


NO_DATES = [
    None, float("nan"), pd.NaT, pd.NA, np.datetime64("NaT"), "", " ", "yesterday", "2020-13-45", "31.2.2020", "n/a",
    "https://example.com/2020/01/02/some-news-of-the-day", 0, -1, 1e300, float("inf"), 10**40, True, [], ["2020-01-01"],
    {"date": 1}, b"x", "10:30", "March 5", "12", "9"*30, "99999-01-01", "\u00b2\u2070\u00b2\u2070", "0000-00-00"]


@pytest.mark.parametrize("cell", NO_DATES, ids=repr)
def test_what_is_no_date_is_missing(cell):
    dates = read(cell, "2020-01-01")
    assert dates.isna().tolist()[1:] == [False]
    if not isinstance(cell, list) or not cell: assert dates.isna()[0]


@pytest.mark.parametrize("cell", ["0001-01-01", "9999-12-31", "0001-01-01T00:00:00+14:00", "9999-12-31T23:00-12:00",
    "1500-06-01", "2300-01-01"])
def test_dates_far_away(cell):
    date = read(cell)[0]
    assert pd.isna(date) or date.year == int(cell[:4])


ODD = st.one_of(
    st.text(alphabet="0123456789/.-:+TZ aprMAY\u0663,'", max_size=25), st.text(max_size=45), st.floats(), st.integers(),
    st.datetimes(timezones=st.one_of(st.none(), st.timezones())), st.dates(), st.times(), st.timedeltas(),
    st.booleans(), st.none(), st.binary(max_size=5), st.lists(st.integers(), max_size=2), st.complex_numbers(),
    st.decimals(), st.uuids())


@thorough
@given(cells=st.lists(ODD, max_size=5))
@example(cells=["1e400", "1" + "0"*38, "2016-01-01T00:00:00+99:99", "0000", "1.1.0000", "0/0/00", "'00"])
def test_no_cell_raises(cells):
    dates = read(*cells)
    assert len(dates) == len(cells)
    assert str(dates.dtype).startswith("datetime64")
    assert dates.dt.year.dropna().between(1, 9999).all()
    assert dates.rank().notna().sum() == dates.notna().sum()


@thorough
@given(moments=st.lists(st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1),
    timezones=st.sampled_from([datetime.timezone(datetime.timedelta(hours=hours)) for hours in (-12, -5, 0, 3, 14)])),
    min_size=1, max_size=5))
def test_moments_with_zones(moments):
    expected = [moment.astimezone(datetime.timezone.utc).replace(tzinfo=None) for moment in moments]
    for cells in (moments, [moment.isoformat() for moment in moments]):
        assert [date.to_pydatetime() for date in read(*cells)] == expected


@pytest.mark.parametrize("column", [
    pd.Series(["2020-01-02", None, "2020-03-04"], dtype="string"),
    pd.Series(["2020-01-02", None, "2020-03-04"], dtype="category"),
    pd.Series(pd.to_datetime(["2020-01-02", None, "2020-03-04"])),
    pd.Series(pd.to_datetime(["2020-01-02", None, "2020-03-04"], utc=True)),
    pd.Series(pd.to_datetime(["2020-01-02", None, "2020-03-04"])).astype("category"),
    pd.Series([20200102, None, 20200304], dtype="Int64")], ids=lambda column: str(column.dtype))
def test_columns_of_other_types(column):
    index = pd.Index(["b", "a", "b"])
    dates = read_dates(column.to_frame("date").set_index(index))
    assert dates.index.equals(index)
    assert dates.isna().tolist() == [False, True, False]
    assert dates.dt.month.tolist()[::2] == [1, 3]


def news(dates):
    "Articles with these dates, whose texts do not resemble each other."
    n = len(dates)
    texts = [" ".join(f"w{row*31 + word}" for word in range(12)) for row in range(n)]
    table = pd.DataFrame({"id": [f"a{row}" for row in range(n)], "title": "", "text": texts})
    return table.assign(label=[row % 2 for row in range(n)], date=dates, subject="s", source="t")


ISO = [f"2016-{1 + row//28:02}-{1 + row % 28:02}" for row in range(60)]


@pytest.mark.parametrize("split", [split_by_date, lambda table: prepare_clean(table, split="by_date")])
def test_two_readings_are_asked_about(split):
    table = news([*ISO[:50], "3/4/2016", "13/4/2016", "4.4.2016", "5-6-16", *ISO[54:]])
    table.attrs["origin"] = "news.csv"
    with pytest.raises(DataError) as error: split(table.set_index(pd.Index([3]*60)))
    assert "2" in error.value.what
    assert "'3/4/2016'" in error.value.what
    assert "news.csv, row 51" in error.value.where
    assert "--dates dayfirst" in error.value.fix
    assert "--dates monthfirst" in error.value.fix


def test_the_row_is_that_of_the_table_as_loaded():
    table = news([*ISO[:50], "3/4/2016", *ISO[51:]])
    table.loc[:9, "text"] = ""
    table.attrs["origin"] = "news.csv"
    with pytest.raises(DataError) as error: prepare_clean(table, split="by_date")
    assert "row 51" in error.value.where


def test_other_splits_take_such_dates():
    splits, _ = prepare_clean(news(["3/4/2016"]*60))
    assert sum(map(len, splits.values())) == 60


def test_articles_left_out_are_counted_by_their_reason():
    table = news(ISO)
    table.loc[57, "text"] = table.text[0] + " more"
    table.loc[[3, 30], "date"] = ["unknown", None]
    _, steps = prepare_clean(table, split="by_date")
    assert steps["left_out_of_the_split"] == 3
    assert steps["left_out_by_reason"] == {"near_duplicates": 1, "without_date": 2}
