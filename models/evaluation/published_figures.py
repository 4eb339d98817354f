"""Published figures of the literature beside those of our fits, on the same data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import betaln

from features.arrays import Array
from features.datasets.published_files import (
    check_donations,
    check_orders,
    check_patterns,
    check_survivors,
    missing_files,
    read_published_file,
)
from features.datasets.published_tables import (
    PublishedFigure,
    PublishedTable,
    cdnow_sample,
    published_table,
)
from features.errors import Problems, UserError
from models.fitting.bg_bb import BGBB
from models.fitting.btyd import BGNBD, MBGNBD, GammaGamma
from models.fitting.contract_renewals import BetaDiscreteWeibull, ShiftedBetaGeometric
from models.fitting.order_values import OrderSums, fit_order_values
from models.fitting.pareto_expectations import pareto_expected_orders
from models.fitting.pareto_nbd import ParetoNBD
from models.fitting.total_interval import level_error, total_interval
from models.scorer.btyd import btyd_expected_orders

_CDNOW_END, _CDNOW_WEEKS = pd.Timestamp("1997-09-30"), 39.0
_INTERVAL = "interval"
_NO_LIFETIMES = (
    "not compared: the Python package lifetimes, which brings CDNOW_sample.txt, is not installed; "
    "pip install --no-deps lifetimes==0.11.3"
)


@dataclass(frozen=True)
class FittedFigure:
    """A number of our fit, with the interval it has and a remark."""

    value: float
    interval: tuple[float, float] | None = None
    remark: str = ""


@dataclass(frozen=True)
class ComparedFigure:
    """One row of `stagecast bench`.

    Attributes
    ----------
    data, model, figure, published, source
        As in `features.datasets.published_tables`.
    here, difference
        Number of our fit, less the published one; None where the data are absent.
    agrees
        True if the difference is within its limit; None without one of the numbers.
    remark
        A sentence, or empty.
    """

    data: str
    model: str
    figure: str
    published: float | None
    here: float | None
    difference: float | None
    agrees: bool | None
    remark: str
    source: str


Frames = list[pd.DataFrame]
Fitted = Mapping[tuple[str, str], FittedFigure]


def compare_published(folder: Path | None = None) -> list[ComparedFigure]:
    """Fit every model to every published data set at hand, and compare.

    Parameters
    ----------
    folder
        Folder of the data sets that the project does not ship. Rows of absent data have no number
        of ours and a remark that names the missing files.

    Raises
    ------
    UserError
        If the folder does not exist, or a file in it holds something else.
    """
    if folder is not None and not folder.is_dir():
        raise UserError(
            "--data",
            found=f"{folder}: {'a file' if folder.exists() else 'no such folder'}",
            expected="a folder with published data",
            hint="without --data, every table whose data are absent names its files and columns",
        )
    tables, problems = {name: published_table(name) for name in _FITS}, Problems()
    if folder is not None:
        _refuse_foreign(folder, [file for table in tables.values() for file in table.files])
    data = {name: _data(name, table, folder, problems) for name, table in tables.items()}
    problems.refuse()
    rows = []
    for name, (frames, missing) in data.items():
        table = tables[name]
        fitted = {} if missing else _FITS[name](frames, table)
        rows += [_compare(table.title, row, fitted, missing) for row in table.figures]
    return rows


def _refuse_foreign(folder: Path, known: list[str]) -> None:
    """Refuse a folder with none of the known files.

    Raises
    ------
    UserError
        With the names of the files.
    """
    if not any((folder / name).is_file() for name in known):
        raise UserError(
            "--data",
            found=f"{folder}: a folder with none of these files",
            expected=f"one or more of {', '.join(known)}",
            hint="without --data, every table whose data are absent names its files and columns",
        )


def _data(
    name: str, table: PublishedTable, folder: Path | None, problems: Problems
) -> tuple[Frames, str]:
    """The data of a table, one frame a file, or the line that says what is missing.

    What is wrong in each of its files is added to `problems`; then, frames may be absent.
    """
    if name == "cdnow":
        sample = cdnow_sample()
        return ([], _NO_LIFETIMES) if sample is None else ([sample], "")
    missing = missing_files(folder, table.files, table.found_in)
    frames: dict[str, pd.DataFrame] = {}
    for file_name, columns in table.files.items():
        # A file is checked without the other one of its table, too.
        if folder is None or not (folder / file_name).is_file():
            continue
        with problems.collect():
            file = folder / file_name
            rows = read_published_file(file, columns, table.found_in)
            _check(file, rows, table, frames)
            frames[file_name] = rows
    return ([], missing) if missing else (list(frames.values()), "")


def _check(
    file: Path, rows: pd.DataFrame, table: PublishedTable, earlier: Mapping[str, pd.DataFrame]
) -> None:
    """Refuse rows that the models of their table cannot have.

    Parameters
    ----------
    file, rows
        A file and its rows.
    table
        The table that the file belongs to.
    earlier
        Rows of the files of the table before this one, by file name.

    Raises
    ------
    UserError
        With all that is wrong in the file.
    """
    if file.name == "donations_rf_matrix.csv":
        check_patterns(file, rows)
    elif file.name == "donations_annual.csv":
        observed = [int(frame["n_cal"].iloc[0]) for frame in earlier.values()]
        check_donations(file, rows, observed[0] if observed else None)
    elif file.name == "contract_survivors.csv":
        check_survivors(file, rows, int(table.settings["calibration_years"]))
    else:
        check_orders(file, rows, pd.Timestamp(table.settings["calibration_end"]))


def _compare(title: str, row: PublishedFigure, fitted: Fitted, missing: str) -> ComparedFigure:
    here = fitted.get((row.model, row.figure))
    base = (title, row.model, row.figure, row.published)
    if here is None:
        return ComparedFigure(*base, None, None, None, missing, row.source)
    remark = here.remark
    if here.interval is not None:
        low, high = here.interval
        remark = f"80 % interval {low:,.0f} to {high:,.0f}{'; ' if remark else ''}{remark}"
    if row.published is None:
        return ComparedFigure(*base, here.value, None, None, remark, row.source)
    difference = here.value - row.published
    agrees = _agrees(row, here, difference)
    return ComparedFigure(*base, here.value, difference, agrees, remark, row.source)


def _agrees(row: PublishedFigure, here: FittedFigure, difference: float) -> bool:
    published = float(row.published or 0.0)
    if row.within == _INTERVAL:
        low, high = here.interval or (here.value, here.value)
        return low <= published <= high
    if isinstance(row.within, str):
        limit = float(row.within.rstrip("%")) / 100.0 * abs(published)
    else:
        limit = float(row.within)
    return abs(difference) <= limit


def _purchase_inputs(days: pd.DataFrame, end: pd.Timestamp) -> Array:
    """Columns x, t_x, T in weeks of every customer who bought by `end`, by customer."""
    seen = days[days["day"] <= end].groupby("customer")["day"].agg(["min", "max", "size"])
    recency, age = (seen["max"] - seen["min"]).dt.days / 7, (end - seen["min"]).dt.days / 7
    return np.column_stack([seen["size"] - 1, recency, age]).astype(np.float64)


def _paid_repeats(days: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    """Purchase days after the first of each customer, by `end`, that cost something."""
    days = days[days["day"] <= end]
    first = days.groupby("customer")["day"].transform("min")
    return days[(days["day"] > first) & (days["amount"] > 0)]


def _named(model: str, values: Mapping[str, float]) -> dict[tuple[str, str], FittedFigure]:
    return {(model, figure): FittedFigure(float(value)) for figure, value in values.items()}


def _cdnow_figures(frames: Frames, table: PublishedTable) -> Fitted:
    (days,) = frames
    inputs = _purchase_inputs(days, _CDNOW_END)
    fitted: dict[tuple[str, str], FittedFigure] = {}
    for name, model in (("BG/NBD", BGNBD()), ("MBG/NBD", MBGNBD())):
        fit = model.fit(inputs)
        ahead = btyd_expected_orders(fit.to_parameters(), *inputs.T, horizon=_CDNOW_WEEKS)
        shapes = {"r": fit.r_, "alpha": fit.alpha_, "a": fit.a_, "b": fit.b_}
        shapes["purchase days of the next 39 weeks"] = float(ahead.sum())
        fitted |= _named(name, {**shapes, "log likelihood": fit.log_likelihood_})
    pareto = ParetoNBD().fit(inputs)
    shapes = {"r": pareto.r_, "alpha": pareto.alpha_, "s": pareto.s_, "beta": pareto.beta_}
    fitted |= _named("Pareto/NBD", {**shapes, "log likelihood": pareto.log_likelihood_})
    repeats = _paid_repeats(days, _CDNOW_END).groupby("customer")["amount"].agg(["size", "mean"])
    value = GammaGamma().fit(repeats.to_numpy(dtype=np.float64))
    return fitted | _named("Gamma-Gamma", {"p": value.p_, "q": value.q_, "v": value.v_})


def _donation_figures(frames: Frames, table: PublishedTable) -> Fitted:
    patterns = frames[0].to_numpy(dtype=np.float64)
    donors, years = patterns[:, 3], int(patterns[:, 2].max())
    by_year = frames[1].sort_values("year")["transactions"].to_numpy()[:years]
    fit = BGBB().fit(patterns)
    ahead = fit.forecast(patterns, occasions=5)
    total = float(donors @ ahead.expected)
    # Chance of the donors, and errors of the parameters by the delta method.
    steps = 1e-4 * np.eye(4)
    ends = [
        [
            donors @ fit.forecast(patterns, occasions=5, log_parameters=parameters).expected
            for parameters in (fit.log_parameters + step, fit.log_parameters - step)
        ]
        for step in steps
    ]
    slope = np.array([(upper - lower) / 2e-4 for upper, lower in ends])
    variance = float(donors @ ahead.variance + slope @ fit.covariance_ @ slope)
    # Level errors: actual and expected donors of each of the observed years.
    active = np.exp(
        betaln(fit.gamma_, fit.delta_ + np.arange(1, years + 1)) - betaln(fit.gamma_, fit.delta_)
    )
    expected = donors.sum() * fit.alpha_ / (fit.alpha_ + fit.beta_) * active
    error = level_error(by_year, expected)
    interval = total_interval(total, variance=variance, level_error=error)
    shapes = {"alpha": fit.alpha_, "beta": fit.beta_, "gamma": fit.gamma_, "delta": fit.delta_}
    shapes["log likelihood"] = fit.log_likelihood_
    return {
        **_named("BG/BB", {**shapes, "expected donations 2002-2006": total}),
        ("BG/BB", "actual donations 2002-2006"): FittedFigure(
            total, interval, f"chance, parameters and a level error of {error:.1%} a year"
        ),
    }


def _contract_figures(frames: Frames, table: PublishedTable) -> Fitted:
    fitted: dict[tuple[str, str], FittedFigure] = {}
    known = int(table.settings["calibration_years"]) + 1
    models = {"sBG": ShiftedBetaGeometric(), "beta-discrete-Weibull": BetaDiscreteWeibull()}
    for column, counts in frames[0].drop(columns="year").items():
        survivors, segment = counts.to_numpy(dtype=np.float64), str(column).replace("_", " ")
        for name, model in models.items():
            fit = model.fit(survivors[:known, None])
            forecast = survivors[0] * fit.survival(np.arange(known, len(survivors)))
            error = float(np.mean(np.abs(forecast / survivors[known:] - 1.0)))
            values = {"alpha": fit.alpha_, "beta": fit.beta_, "c": fit.c_}
            values |= {"log likelihood": fit.log_likelihood_}
            values |= {f"error of years {known}-{len(survivors) - 1} in %": 100.0 * error}
            fitted |= _named(f"{name}, {segment}", values)
    return fitted


def _apparel_figures(frames: Frames, table: PublishedTable) -> Fitted:
    orders = frames[0].set_axis(["customer", "day", "amount"], axis=1)
    days = orders.groupby(["customer", "day"], as_index=False)["amount"].sum()
    end, weeks = (
        pd.Timestamp(table.settings["calibration_end"]),
        float(table.settings["weeks_ahead"]),
    )
    inputs = _purchase_inputs(days, end)
    fits = [model.fit(inputs) for model in (BGNBD(), MBGNBD(), ParetoNBD())]
    best = max(fits, key=lambda fit: float(fit.log_likelihood_))
    expect = pareto_expected_orders if isinstance(best, ParetoNBD) else btyd_expected_orders
    purchases = expect(best.to_parameters(), *inputs.T, horizon=weeks)
    repeats = _paid_repeats(days, end)
    logs = np.log(repeats["amount"])
    sums = (
        pd.DataFrame({
            "customer": repeats["customer"], "orders": 1.0, "total": repeats["amount"],
            "log_total": logs, "log_squares": logs**2,
        })
        .groupby("customer").sum()
        .reindex(np.sort(days.loc[days["day"] <= end, "customer"].unique()), fill_value=0.0)
    )  # fmt: skip
    columns = ("orders", "total", "log_total", "log_squares")
    values = fit_order_values(OrderSums(*(sums[name].to_numpy(dtype=float) for name in columns)))
    (row,) = table.figures
    remark = f"{best.model} and {values.model} order values; {purchases.sum():,.0f} purchase days"
    total = FittedFigure(float(purchases @ values.expected), None, remark)
    return {(row.model, row.figure): total}


_FITS: dict[str, Callable[[Frames, PublishedTable], Fitted]] = {
    "cdnow": _cdnow_figures,
    "donations": _donation_figures,
    "contracts": _contract_figures,
    "apparel": _apparel_figures,
}
