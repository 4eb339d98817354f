"""`stagecast bench`: what it compares, what it says of absent and of bad data."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.datasets import published_tables
from features.datasets.published_files import read_published_file
from features.errors import UserError
from flows.commands.cli import app, main
from models.evaluation import published_figures
from models.evaluation.published_figures import ComparedFigure, compare_published


@pytest.fixture(scope="module")
def rows() -> list[ComparedFigure]:
    return compare_published()


def test_every_published_figure_at_hand_agrees(rows):
    compared = [row for row in rows if row.published is not None and row.here is not None]
    assert len(compared) == 18  # those of CDNOW: the data of the others are not shipped
    assert [row for row in compared if not row.agrees] == []


def test_parameters_agree_to_three_digits_and_log_likelihoods_to_a_tenth(rows):
    for row in rows:
        if row.difference is None:
            continue
        if row.figure in ("r", "alpha", "beta", "gamma", "delta", "s", "a", "b"):
            assert abs(row.difference) <= 0.0005, row
        if row.figure == "log likelihood":
            assert abs(row.difference) <= 0.1, row


def test_without_the_package_of_the_data_the_rows_say_so(monkeypatch):
    monkeypatch.setattr(published_figures, "cdnow_sample", lambda: None)
    rows = [row for row in compare_published() if row.data.startswith("CDNOW")]
    assert rows
    assert all(row.here is None and "lifetimes" in row.remark for row in rows)


def test_no_data_are_shipped_with_the_figures():
    for name in ("apparel", "cdnow", "contracts", "donations"):
        settings = published_tables.published_table(name).settings
        assert all(not isinstance(value, list | dict) for value in settings.values()), name


@pytest.mark.parametrize(
    ("title", "files"),
    [
        (
            "donations, 1995 cohort",
            "donations_rf_matrix.csv (columns x, t_x, n_cal, customers) and "
            "donations_annual.csv (columns year, transactions)",
        ),
        (
            "contract renewals, two segments",
            "contract_survivors.csv (columns year, high_end, regular)",
        ),
        ("apparel, 104 weeks ahead", "apparel_orders.csv (columns Id, Date, Price)"),
    ],
)
def test_absent_data_have_a_line_with_files_columns_and_source(rows, drawn, tmp_path, title, files):
    shutil.copy(drawn[0] / (ORDERS if title.startswith("contract") else SURVIVORS), tmp_path)
    for found, wanting in ((rows, "give --data FOLDER with"), (compare_published(tmp_path), "no")):
        of_data = [row for row in found if row.data == title]
        assert all((row.here, row.agrees) == (None, None) for row in of_data)
        (line,) = {row.remark for row in of_data}
        assert f"{wanting} {files}; published in: " in line
        assert "\n" not in line


def write_donations(folder: Path, seed: int = 1) -> dict[str, float]:
    """A cohort drawn from known parameters, as files; returns those and later donations."""
    random, n, years, ahead = np.random.default_rng(seed), 30_000, 6, 5
    buys, drops = random.beta(1.0, 0.8, n), random.beta(0.7, 3.0, n)
    active = np.ones(n, dtype=bool)
    gave = np.zeros((n, years + ahead), dtype=bool)
    for year in range(years + ahead):
        active &= random.random(n) >= drops
        gave[:, year] = active & (random.random(n) < buys)
    known = gave[:, :years]
    last = np.where(known.any(axis=1), years - known[:, ::-1].argmax(axis=1), 0)
    donors = pd.DataFrame({"x": known.sum(axis=1), "t_x": last, "n_cal": years})
    patterns = donors.value_counts().rename("customers").reset_index()
    patterns.to_csv(folder / "donations_rf_matrix.csv", index=False)
    annual = pd.DataFrame({"year": 2001 + np.arange(years + ahead), "transactions": gave.sum(0)})
    annual.to_csv(folder / "donations_annual.csv", index=False)
    truth = {"alpha": 1.0, "beta": 0.8, "gamma": 0.7, "delta": 3.0}
    return {**truth, "later": float(gave[:, years:].sum())}


def write_survivors(folder: Path, n: int = 200_000) -> dict[str, float]:
    """Two cohorts of contracts drawn from sBG with known parameters."""
    random, numbers = np.random.default_rng(2), {}
    for segment, (alpha, beta) in {"high_end": (0.8, 4.0), "regular": (0.8, 1.3)}.items():
        lifetimes = random.geometric(random.beta(alpha, beta, n))
        numbers[segment] = [int((lifetimes > t).sum()) for t in range(13)]
    frame = pd.DataFrame({"year": range(13), **numbers})
    frame.to_csv(folder / "contract_survivors.csv", index=False)
    return {"alpha, high end": 0.8, "beta, high end": 4.0, "beta, regular": 1.3}


def write_orders(folder: Path, seed: int = 1) -> pd.DataFrame:
    """Orders of a cohort with amounts that vary by chance alone."""
    random = np.random.default_rng(seed)
    parts = []
    for customer in range(400):
        rate, end = random.gamma(1.5) / 60.0, random.exponential(600.0)
        days = np.floor(np.cumsum(random.exponential(1 / rate, 200)))
        days = np.unique([0.0, *days[days < min(end, 1456)]])
        amounts = np.exp(random.normal(3.0, 0.8, len(days)))
        parts.append(pd.DataFrame({"Id": customer, "Date": days, "Price": amounts}))
    orders = pd.concat(parts, ignore_index=True)
    orders["Date"] = pd.Timestamp("2005-01-02") + pd.to_timedelta(orders["Date"], unit="D")
    orders.to_csv(folder / "apparel_orders.csv", index=False)
    return orders


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> tuple[Path, dict[tuple[str, str], ComparedFigure], dict]:
    """A folder of cohorts drawn from known parameters, what bench finds there, and the truth."""
    folder = tmp_path_factory.mktemp("drawn")
    truth = {"donations": write_donations(folder), "contracts": write_survivors(folder)}
    truth["orders"] = write_orders(folder)
    found = {(row.model, row.figure): row for row in compare_published(folder)}
    return folder, found, truth


def test_donations_of_the_folder_give_their_parameters_and_an_interval_of_their_total(drawn):
    _, found, truth = drawn
    donations = truth["donations"]
    for name, within in {"alpha": 0.1, "beta": 0.1, "gamma": 0.25, "delta": 0.3}.items():
        assert found["BG/BB", name].here == pytest.approx(donations[name], rel=within)
    row = found["BG/BB", "actual donations 2002-2006"]
    assert row.here == pytest.approx(donations["later"], rel=0.03)
    low, high = re.match(r"80 % interval ([\d,]+) to ([\d,]+);", row.remark).groups()
    low, high = (float(end.replace(",", "")) for end in (low, high))
    assert low < donations["later"] < high
    assert row.agrees is (low <= row.published <= high)
    # Other data than the published ones: the figures differ.
    assert found["BG/BB", "alpha"].agrees is False


def test_survivors_of_the_folder_give_the_parameters_of_their_segment(drawn):
    _, found, truth = drawn
    for name, value in truth["contracts"].items():
        parameter, segment = name.split(", ")
        assert found[f"sBG, {segment}", parameter].here == pytest.approx(value, rel=0.05)
        assert found[f"sBG, {segment}", "error of years 8-12 in %"].here < 2.0


def test_orders_of_the_folder_give_their_total(drawn):
    _, found, truth = drawn
    dates = truth["orders"]["Date"]
    later = truth["orders"][(dates > "2006-12-31") & (dates <= "2008-12-28")]
    row = found["most likely models", "spend of the next 104 weeks"]
    assert row.here == pytest.approx(later["Price"].sum(), rel=0.15)
    assert "log_normal" in row.remark


def replaced(name: str, number: int, cells: str):
    """A change of one line of a file; line 0 is the header."""

    def change(folder: Path) -> None:
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        lines[number] = cells
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    return change


def written(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


PATTERNS, ANNUAL = "donations_rf_matrix.csv", "donations_annual.csv"
SURVIVORS, ORDERS = "contract_survivors.csv", "apparel_orders.csv"
REFUSALS = {
    "a column is missing": (
        replaced(PATTERNS, 0, "x,t_x,n_cal,n"),
        [PATTERNS, "found the columns x, t_x, n_cal, n", "x, t_x, n_cal, customers", "hint: "],
    ),
    "a column twice": (
        replaced(PATTERNS, 0, "x,t_x,x,customers"),
        ["found the columns x, t_x, x, customers"],
    ),
    "text where a number belongs": (
        replaced(PATTERNS, 2, "1,one,6,7"),
        [f"{PATTERNS}: t_x: found 'one' in row 3", "expected: a whole number", "hint: "],
    ),
    "an empty cell": (replaced(ANNUAL, 3, "2003,"), ["transactions: found '' in row 4"]),
    "fewer cells than the header": (replaced(ANNUAL, 3, "2003"), ["1 cells in row 4"]),
    "half a contract": (replaced(SURVIVORS, 2, "1,9.5,8"), ["high_end: found '9.5' in row 3"]),
    "a count below 0": (replaced(ANNUAL, 1, "2001,-4"), ["transactions: found '-4' in row 2"]),
    "a count above all": (replaced(ANNUAL, 1, "2001,1e300"), ["transactions: found '1e300'"]),
    "an endless amount": (replaced(ORDERS, 1, "1,2005-01-02,inf"), ["Price: found 'inf'"]),
    "a hexadecimal amount": (replaced(ORDERS, 1, "1,2005-01-02,0x1F"), ["Price: found '0x1F'"]),
    "a return": (
        replaced(ORDERS, 3, "1,2005-01-02,-3.5"),
        ["Price: found '-3.5' in row 4 of the file\n", "from 0 to", "hint:     leave returns out"],
    ),
    "orders of nobody": (
        replaced(ORDERS, 3, " ,2005-01-02,3.5"),
        ["Id: found '' in row 4", "expected: a name in every row"],
    ),
    "no date": (
        replaced(ORDERS, 4, "1,soon,3.5"),
        ["Date: found 'soon' in row 5", "expected: a date such as 2005-01-31"],
    ),
    "no day of the calendar": (
        replaced(ORDERS, 4, "1,2005-02-30,3.5"),
        ["Date: found '2005-02-30' in row 5"],
    ),
    "a date and something else": (
        replaced(ORDERS, 4, "1,2005-02-03x,3.5"),
        ["Date: found '2005-02-03x' in row 5"],
    ),
    "blank lines count as rows": (
        replaced(ORDERS, 4, "\n\n1,soon,3.5"),
        ["Date: found 'soon' in row 7 of the file\n"],
    ),
    "lines of a quoted cell count as rows": (
        replaced(ORDERS, 4, '"1\n2",2005-02-03,3.5\n1,soon,3.5'),
        ["Date: found 'soon' in row 7 of the file\n"],
    ),
    "several rows of a kind": (
        written(ORDERS, b"Id,Date,Price\n1,soon,4\n1,2005-01-09,4\n2,late,4\n"),
        ["Date: found 'soon' in row 2 of the file, and in 1 more"],
    ),
    "purchases after the last": (
        replaced(PATTERNS, 1, "3,2,6,7"),
        ["x, t_x: found 3, 2 in row 2", "expected: 0 < x <= t_x"],
    ),
    "purchases after the years": (
        replaced(PATTERNS, 1, "3,7,6,7"),
        ["t_x, n_cal: found 7, 6 in row 2", "expected: t_x <= n_cal"],
    ),
    "years that differ": (
        replaced(PATTERNS, 3, "1,1,5,7"),
        ["n_cal: found 5 in row 4", "one number above 0"],
    ),
    "a pattern of nobody": (
        replaced(PATTERNS, 3, "1,1,6,0"),
        ["customers: found 0 in row 4", "at least one customer"],
    ),
    "a year twice": (
        replaced(ANNUAL, 2, "2001,7"),
        ["year: found 2001 in row 3", "one row for each of 6 years"],
    ),
    "a year of donations is left out": (
        replaced(ANNUAL, 11, "2012,7"),
        ["year: found 2012 in row 12", "one row for each of 6 years, and none left out"],
    ),
    "too few years of donations": (
        written(ANNUAL, b"year,transactions\n2001,7\n"),
        ["found 1 rows", "each of 6 years"],
    ),
    "survivors that rise": (
        replaced(SURVIVORS, 3, "2,900000,8"),
        ["high_end: found 900000 in row 4", "never rise"],
    ),
    "a year is left out": (
        replaced(SURVIVORS, 3, "7,8,8"),
        ["year: found 7 in row 4", "the years 0, 1, 2"],
    ),
    "no year to forecast": (
        written(SURVIVORS, b"year,high_end,regular\n0,9,9\n1,8,8\n"),
        ["found 2 rows", "9 rows or more"],
    ),
    "too few orders": (
        written(ORDERS, b"Id,Date,Price\n1,2005-01-02,4\n1,2005-01-09,4\n"),
        ["found 1 paid repeat days until 2006-12-31", "10 or more"],
    ),
    "an empty file": (written(ORDERS, b""), ["found an empty file", "Id, Date, Price"]),
    "a header only": (written(ORDERS, b"Id,Date,Price\n"), ["found no rows"]),
    "no text": (written(SURVIVORS, b"\xff\xfe\x00"), ["can't decode", "a CSV file with"]),
    "more cells than the header": (
        written(ORDERS, b"Id,Date,Price\n1,2,2005-01-02,3\n"),
        ["found 4 cells in row 2", "3 in every row, as in the header"],
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_files_are_refused_with_place_and_expectation(case, drawn, tmp_path):
    shutil.copytree(drawn[0], tmp_path, dirs_exist_ok=True)
    change, parts = REFUSALS[case]
    change(tmp_path)
    with pytest.raises(UserError) as refused:
        compare_published(tmp_path)
    for part in [str(tmp_path), *parts]:
        assert part in str(refused.value)
    assert not re.search(r"np\.|nan\b", str(refused.value))


WRITTEN_DAYS = {
    "a zone": "{}T23:30:00-08:00",
    "universal time": "{}T00:30:00Z",
    "a time": "{} 12:00",
    "blanks around": "  {} ",
}


@pytest.mark.parametrize("forms", [[form] for form in WRITTEN_DAYS] + [[*WRITTEN_DAYS, "plain"]])
def test_the_written_day_counts_whatever_its_zone(forms, tmp_path):
    days = [f"2005-0{1 + number // 28}-{1 + number % 28:02}" for number in range(40)]
    shapes = [WRITTEN_DAYS.get(form, "{}") for form in forms]
    dates = [shapes[number % len(shapes)].format(day) for number, day in enumerate(days)]
    file = tmp_path / ORDERS
    pd.DataFrame({"Id": "a", "Date": dates, "Price": 1}).to_csv(file, index=False)
    rows = read_published_file(file, {"Id": "text", "Date": "day", "Price": "amount"}, "a paper")
    assert list(rows["Date"].dt.strftime("%Y-%m-%d")) == days
    assert list(rows.index) == list(range(2, 42))


def test_all_bad_files_are_refused_in_one_message(drawn, tmp_path):
    shutil.copytree(drawn[0], tmp_path, dirs_exist_ok=True)
    replaced(PATTERNS, 2, "1,one,6,7")(tmp_path)
    replaced(ANNUAL, 2, "2002,-1")(tmp_path)
    replaced(SURVIVORS, 3, "7,9.5,8")(tmp_path)
    replaced(ORDERS, 4, ",soon,-3.5")(tmp_path)
    with pytest.raises(UserError) as refused:
        compare_published(tmp_path)
    places = [problem.where.removeprefix(f"{tmp_path}/") for problem in refused.value.problems]
    assert places == [
        f"{PATTERNS}: t_x", f"{ANNUAL}: transactions", f"{SURVIVORS}: high_end",
        f"{ORDERS}: Id", f"{ORDERS}: Date", f"{ORDERS}: Price",
    ]  # fmt: skip


def test_a_file_is_checked_without_the_other_of_its_table(drawn, tmp_path):
    shutil.copy(drawn[0] / ANNUAL, tmp_path)
    replaced(ANNUAL, 11, "2012,7")(tmp_path)
    with pytest.raises(UserError, match="year: found 2012 in row 12"):
        compare_published(tmp_path)


def test_a_file_of_the_folder_alone_fills_its_table(drawn, tmp_path):
    shutil.copy(drawn[0] / SURVIVORS, tmp_path)
    fitted = {row.data for row in compare_published(tmp_path) if row.here is not None}
    assert fitted == {"CDNOW, 1/10 sample", "contract renewals, two segments"}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("nix", "no such folder"),
        ("file", "a file"),
        ("folder", "a folder with none of these files"),
    ],
    ids=["absent", "a file", "a folder of other files"],
)
def test_a_folder_without_published_data_ends_with_2(monkeypatch, capsys, tmp_path, name, found):
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "orders.csv").write_text("a\n1\n", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["stagecast", "bench", "--data", str(tmp_path / name)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert f"--data: found {tmp_path / name}: {found}" in " ".join(message.split())
    if name == "folder":
        assert f"{PATTERNS}, {ANNUAL}, {SURVIVORS}, {ORDERS}" in " ".join(message.split())


def test_the_command_prints_one_line_a_table_without_data():
    printed = CliRunner().invoke(app, ["bench"])
    assert printed.exit_code == 0
    lines = printed.stdout.splitlines()
    assert len([line for line in lines if ": not compared: give --data FOLDER with" in line]) == 3
    assert lines[-1] == "18 of 18 figures agree"


def test_the_command_prints_the_table_and_ends_with_1_where_a_figure_differs(monkeypatch, rows):
    printed = CliRunner().invoke(app, ["bench", "--json", "-"])
    assert printed.exit_code == 0
    content = json.loads(printed.stdout)
    assert content["agrees"] is True
    assert content["figures"][0] == asdict(rows[0])
    wrong = ComparedFigure("shop", "BG/NBD", "r", 1.0, 2.0, 1.0, False, "", "a paper")
    monkeypatch.setattr(published_figures, "compare_published", lambda folder: [wrong])
    printed = CliRunner().invoke(app, ["bench"])
    assert printed.exit_code == 1
    assert "0 of 1 figures agree" in printed.stdout
    assert "NO" in printed.stdout
