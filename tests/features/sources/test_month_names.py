"""Dates with the name of a month are read in many languages, alike by `init` and by the reader."""

from __future__ import annotations

import datetime as dt

import ibis
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.config.sources import TimeColumn
from features.sources.column_parsing import parse_date, parse_moment
from features.sources.month_names import month_as_number, months_as_numbers
from flows.setup.datetime_formats import form_of_text, read_times

NAMES = {
    "English": "January February March April May June July August September October November "
    "December",
    "short": "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec",
    "German": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "Austrian": "Jänner Feb. Mrz. Apr. Mai Juni Juli Aug. Sep. Okt. Nov. Dez.",
    "French": "janvier février mars avril mai juin juillet août septembre octobre novembre "
    "décembre",
    "French, short": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "Spanish": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre "
    "diciembre",
    "Italian": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre "
    "novembre dicembre",
    "Portuguese": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro "
    "dezembro",
    "Dutch": "januari februari maart april mei juni juli augustus september oktober november "
    "december",
    "Polish": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października "
    "listopada grudnia",
    "Swedish": "januari februari mars april maj juni juli augusti september oktober november "
    "december",
}
FORMS = [
    "{d}-{m}-{y}", "{d:02} {m} {y}", "{d}. {m} {y}", "{m} {d}, {y}", "{d}/{m}/{yy:02}",
    "{y}-{m}-{d:02}", "{d} de {m} de {y}",
]  # fmt: skip
CLOCKS = ["", " 09:05", " 09:05:30", ", 9:05 pm"]


@given(
    st.sampled_from(sorted(NAMES)),
    st.sampled_from(FORMS),
    st.sampled_from(CLOCKS),
    st.booleans(),
    st.lists(st.dates(dt.date(2001, 1, 1), dt.date(2030, 12, 31)), min_size=12, max_size=20),
)
def test_every_form_reads_as_its_date(language, form, clock, upper, days):
    names = NAMES[language].split()
    cells = [
        form.format(d=day.day, m=names[day.month - 1], y=day.year, yy=day.year % 100) + clock
        for day in days
    ]
    cells = [cell.upper() for cell in cells] if upper else cells
    found = form_of_text(pd.Series(cells))
    assert found is not None, cells[:3]
    assert read_times(pd.Series(cells), found).dt.date.tolist() == days
    table = ibis.memtable({"at": cells})
    if clock:
        spec = TimeColumn(column="at", zone="UTC", **found.keys)
        read = parse_moment(table, spec, "UTC", "at")[1].execute()
        hour = 21 if "pm" in clock else 9
        assert read.dt.hour.eq(hour).all()
    else:
        spec = TimeColumn(column="at", **found.keys)
        read = pd.to_datetime(parse_date(table["at"], spec, "at").execute())
    assert read.dt.date.tolist() == days


@pytest.mark.parametrize(
    "text", ["3-Feb-2024", "Mon, 3 Feb 2024", "le 1er mars 2024", "3rd of May 2024", "Marktplatz 3"]
)
def test_the_expression_and_the_function_agree(text):
    table = ibis.memtable({"at": [text]})
    assert months_as_numbers(table["at"]).execute().tolist() == [month_as_number(text)]


@pytest.mark.parametrize(
    "cells", [["Mark 3", "Anna 4"], ["size 12-XL-2024"], ["Mai Tai 3", "May 9"]]
)
def test_other_texts_are_no_dates(cells):
    assert form_of_text(pd.Series(cells * 5)) is None
