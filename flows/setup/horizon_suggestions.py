"""How long silence must last to mean something: windows and horizons that the gaps suggest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.errors import UserError
from features.history.history import History
from features.history.order_spells import Spells
from features.history.windows import Window
from features.table.training_snapshots import MIN_HISTORY_DAYS

RETURNING = 0.10  # a silence is over when fewer than this share come back in as long again
_FEWEST_SPELLS = 30  # spells of silence below which a share says nothing
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
_USUAL_HORIZONS = (
    0.9  # where the share never falls that low: longer than so much of customers' gaps
)
_LOYAL_SHARE = 0.6  # share of the active customers who are not loyal
_ROUND_DAYS = (7, 14, 28, 30, 60, 90, 180, 365)
PERIOD_DAYS, MOST_PERIODS = 7, 12


def return_curve(spells: Spells) -> pd.DataFrame:
    """Of those silent for L days, the share who buy in the next L days.

    Returns
    -------
    DataFrame
        days (L = 1, 2, ..., as far as twice L was watched), share (of the spells of more than L
        days, those that end within 2 L; right-censoring by Kaplan and Meier), n (spells seen for
        more than L days), judged (at least 30 of them were watched up to 2 L). One row an L.
    """
    share, longer = spells.lasting
    days = np.arange(1, (len(share) - 1) // 2 + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        back = np.where(share[days] > 0, 1.0 - share[2 * days] / share[days], np.nan)
    judged = (longer[2 * days - 1] >= _FEWEST_SPELLS) & np.isfinite(back)
    return pd.DataFrame({"days": days, "share": back, "n": longer[days], "judged": judged})


def gap_quantiles(spells: Spells) -> pd.DataFrame:
    """Quantiles of the days between purchase days.

    Returns
    -------
    DataFrame
        quantile, pooled (every closed gap the same), per_customer (every customer with a gap the
        same), with_open (spells still open counted as Kaplan and Meier do; null where so many had
        not come back when the data ended). The first two know only gaps that closed, so they are
        on the short side where many customers are young.
    """
    order = np.argsort(spells.gaps, kind="stable")
    gaps, running = spells.gaps[order], np.cumsum(spells.weights[order])
    share, _ = spells.lasting
    rows = []
    for q in _QUANTILES:
        there = np.flatnonzero(1.0 - share >= q - 1e-12)
        place = min(int(np.searchsorted(running, q - 1e-12)), len(gaps) - 1)
        rows.append(
            {
                "quantile": q,
                "pooled": float(np.quantile(gaps, q, method="inverted_cdf")) if len(gaps) else None,
                "per_customer": float(gaps[place]) if len(gaps) else None,
                "with_open": float(there[0]) if len(there) else None,
            }
        )
    return pd.DataFrame(rows).astype(float)


@dataclass(frozen=True)
class Suggestion:
    """Windows and horizons for a data set, in days.

    Attributes
    ----------
    lapse_days
        L: silent for longer means lapsed.
    by_return
        Smallest L from which on fewer than 10 % came back within L more; None where the data show
        none.
    why
        Where `lapse_days` comes from, a sentence.
    window_days, loyal_days, new_days
        w, k, m of the taxonomy by recency and frequency.
    horizon_days
        Of churn and CLV.
    periods, period_days
        How far the transition model looks ahead, and in what steps.
    windows
        Of features.
    """

    lapse_days: int
    by_return: int | None
    why: str
    window_days: int
    loyal_days: int
    new_days: int
    horizon_days: int
    periods: int
    period_days: int
    windows: tuple[int, ...]

    def blocks(self, stages: dict[str, Any]) -> dict[str, Any]:
        """Config keys that put the suggestion into effect, with a `stages` block."""
        horizon = {"horizon_days": self.horizon_days}
        return {
            "stages": stages,
            "activity_days": self.lapse_days,
            "windows": list(self.windows),
            "churn": horizon,
            "clv": dict(horizon),
            "stage": {"confirm_days": self.horizon_days},
            "transition": {"periods": self.periods, "period_days": self.period_days},
        }


def suggest_horizons(spells: Spells, history: History, end: int) -> Suggestion:
    """Windows and horizons that the gaps suggest and the length of the history allows.

    Raises
    ------
    UserError
        Where nobody bought on two days, or the history is too short to test any horizon.
    """
    longest = min(spells.history_days // 4, (spells.history_days - MIN_HISTORY_DAYS) // 2)
    if longest < _ROUND_DAYS[0]:
        needed = MIN_HISTORY_DAYS + 2 * _ROUND_DAYS[0]
        raise UserError(
            "horizons",
            found=f"{spells.history_days} days of purchases",
            expected=f"at least {needed}: {MIN_HISTORY_DAYS} to look back on, one horizon of "
            f"{_ROUND_DAYS[0]} days to learn from and one to test on",
            hint="bring a longer history",
        )
    if not len(spells.gaps):
        raise UserError(
            "horizons",
            found=f"{len(spells.days):,} customers, none with two purchase days",
            expected="customers who came back, whose gaps say how long a silence is usual",
            hint="bring a longer history; or choose by what you know of the trade, e.g. "
            "`stages: {file: stages/omnisend.yaml, preset: durables}`",
        )
    by_return = _by_return(return_curve(spells))
    wanted, why = _wanted(spells, by_return)
    lapse = _rounded(min(wanted, longest), longest)
    if wanted > longest:
        why += f"; shortened from {wanted} days: a quarter of the history can be tested at most"
    window = min(2 * lapse, spells.history_days // 2)
    loyal = _loyal_days(history, end, lapse, window)
    # A model of transitions wants two steps at least.
    ahead = (spells.history_days - MIN_HISTORY_DAYS) // 2
    periods = min(max(ahead // PERIOD_DAYS, 2), MOST_PERIODS)
    return Suggestion(
        lapse_days=lapse,
        by_return=by_return,
        why=why,
        window_days=window,
        loyal_days=loyal,
        new_days=max(1, loyal // 4),
        horizon_days=max(d for d in _ROUND_DAYS if d <= max(lapse, _ROUND_DAYS[0])),
        periods=periods,
        period_days=PERIOD_DAYS if ahead >= 2 * PERIOD_DAYS else ahead // 2,
        windows=_windows(spells, lapse, window),
    )


def _by_return(curve: pd.DataFrame) -> int | None:
    """Smallest judged L from which on the share stays under `RETURNING`.

    "From which on" matters: after one silent day hardly anybody buys the day after, either.
    """
    judged = curve[curve["judged"]]
    over = judged.loc[judged["share"] >= RETURNING, "days"]
    if not len(judged):
        return None
    first = int(over.max()) + 1 if len(over) else int(judged["days"].min())
    return first if first <= int(judged["days"].max()) else None


def _wanted(spells: Spells, by_return: int | None) -> tuple[int, str]:
    least = int(np.quantile(spells.gaps, 0.5, method="inverted_cdf"))
    if by_return is not None and by_return >= least:
        said = f"from {by_return} days on fewer than {RETURNING:.0%} of the silent come back"
        return by_return, f"{said} in as long again"
    quantiles = gap_quantiles(spells).set_index("quantile")["per_customer"]
    days = max(int(quantiles[_USUAL_HORIZONS]), 1)
    why = f"{_USUAL_HORIZONS:.0%} of customers' gaps are no longer than {days} days"
    if len(spells.gaps) < _FEWEST_SPELLS:
        return days, f"{why} (of {len(spells.gaps)} gaps in all: little to go by)"
    return days, (
        f"{why} (in these data no silence is so long that from there on fewer than "
        f"{RETURNING:.0%} come back in as long again)"
    )


def _rounded(days: int, longest: int) -> int:
    """Up to whole weeks, from two months on to 30 days, unless that is longer than allowed."""
    step = 7 if days <= 56 else 30
    up = -(-days // step) * step
    return up if up <= longest else max(longest // step * step, 7)


def _loyal_days(history: History, end: int, lapse: int, window: int) -> int:
    """Purchase days in the window that two fifths of the active customers reach, at least two."""
    rows = history.roles["purchase"].settled
    counts = Window(rows, end - window, end).days
    active = Window(rows, end - lapse, end).days > 0
    if not active.any():
        return 2
    return max(2, int(np.quantile(counts[active], _LOYAL_SHARE, method="inverted_cdf")))


def _windows(spells: Spells, lapse: int, window: int) -> tuple[int, ...]:
    longest = max(spells.history_days // 2, _ROUND_DAYS[0])
    usual = (7, 14, 30, 60, 90, 180, 365)
    return tuple(sorted({d for d in (*usual, lapse, window) if d <= longest}))
