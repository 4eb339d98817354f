"""The truth of a simulation, kept apart from its events: it tests models and is no feature."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from features.calendar import day_date, day_number
from features.errors import UserError
from simulator.scenario import STATES

# Hidden traits of customers that a model which sees them may use, where a scenario has them.
TRAITS = (
    "activity",
    "ordering",
    "dropping",
    "converting",
    "opening",
    "redeeming",
    "satisfaction",
    "order_value",
    "rate_a_week",
    "drop_chance",
)


@dataclass(frozen=True)
class HiddenTruth:
    """What a simulation wrote under ``truth/``.

    Attributes
    ----------
    folder
        Holds ``customers/``, ``snapshots/`` and, for customers with latent states, ``states/``.

    Raises
    ------
    UserError
        Where the folder holds no such tables.
    """

    folder: Path

    def __post_init__(self) -> None:
        for name in ("customers", "snapshots"):
            if not any((self.folder / name).glob("*.parquet")):
                raise UserError(
                    "truth",
                    found=f"no {name}/*.parquet in {self.folder}",
                    expected="the folder truth/ that `stagecast simulate` writes",
                    hint="simulate again, or remove `truth` from the config",
                )

    def _table(self, name: str) -> pd.DataFrame:
        return pq.read_table(self.folder / name).to_pandas()

    @cached_property
    def _snapshots(self) -> dict[int, pd.DataFrame]:
        table = self._table("snapshots")
        return {
            day_number(date): rows.set_index("customer_id")
            for date, rows in table.groupby("snapshot_at")
        }

    def expectations(self, at: int, horizon_days: int) -> pd.DataFrame | None:
        """Expectations at a date given the latent state, by customer; None where not written.

        Returns
        -------
        DataFrame
            Indexed by customer_id: p_no_purchase, expected_orders, expected_spend, and whatever
            else the scenario tells (``posterior_*``: given the history alone).
        """
        rows = self._snapshots.get(at)
        if rows is None or int(rows["horizon_days"].iloc[0]) != horizon_days:
            return None
        return rows

    @cached_property
    def _traits(self) -> pd.DataFrame:
        return self._table("customers").set_index("customer_id")

    @cached_property
    def _states(self) -> pd.DataFrame | None:
        if not (self.folder / "states").is_dir():
            return None
        table = self._table("states").sort_values(["customer_id", "from_at"], ignore_index=True)
        code = pd.Categorical(table["state"].astype(str), categories=STATES).codes
        from_day = pd.to_datetime(table["from_at"]).to_numpy().astype("datetime64[D]")
        return table.assign(code=code.astype(float), from_day=from_day.astype(np.int64))

    def latents(self, at: int, customers: pd.Series) -> pd.DataFrame:
        """Hidden traits and state of some customers at a date, as model inputs.

        Returns
        -------
        DataFrame
            ``latent__*`` (float64), one row a customer in the order given; null where the
            simulation does not know the customer.
        """
        known = self._traits.reindex(customers)
        columns = {
            f"latent__{name}": known[name].to_numpy(dtype=np.float64, na_value=np.nan)
            for name in TRAITS
            if name in known
        }
        if self._states is not None:
            past = self._states[self._states["from_day"] <= at]
            last = past.groupby("customer_id", sort=False).last().reindex(customers)
            columns["latent__state"] = last["code"].to_numpy(dtype=np.float64)
            columns["latent__days_in_state"] = at - last["from_day"].to_numpy(dtype=np.float64)
        else:
            gone = pd.to_datetime(known["gone_at"])
            there = gone.isna() | (gone >= pd.Timestamp(day_date(at)))
            columns["latent__there"] = there.to_numpy(dtype=np.float64)
        return pd.DataFrame(columns, index=range(len(customers)))
