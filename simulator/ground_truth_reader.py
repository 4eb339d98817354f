"""Read the truth tables of a simulation; they test models and are never features."""

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

# Hidden traits used as inputs of oracle models, if the scenario has them.
_TRAITS = (
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
    """Tables that a simulation wrote under ``truth/``.

    Attributes
    ----------
    folder
        Holds ``customers/``, ``snapshots/`` and, for customers with latent states, ``states/``.

    Raises
    ------
    UserError
        If the folder lacks the tables.
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

    def expectations(self, snapshot_day: int, horizon_days: int) -> pd.DataFrame | None:
        """Expectations at a day number given the latent state; None if none were written.

        Returns
        -------
        DataFrame
            Indexed by customer_id: p_no_purchase, expected_orders, expected_spend, and other
            columns of the scenario (``posterior_*``: given the history alone).
        """
        rows = self._snapshots.get(snapshot_day)
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

    def latents(self, snapshot_day: int, customers: pd.Series) -> pd.DataFrame:
        """Hidden traits and states of customers at a day number, as model inputs.

        Returns
        -------
        DataFrame
            ``latent__*`` (float64), one row a customer in the input order; null for customers
            outside the simulation.
        """
        customer_traits = self._traits.reindex(customers)
        columns = {
            f"latent__{name}": customer_traits[name].to_numpy(dtype=np.float64, na_value=np.nan)
            for name in _TRAITS
            if name in customer_traits
        }
        if self._states is not None:
            past_states = self._states[self._states["from_day"] <= snapshot_day]
            last_states = past_states.groupby("customer_id", sort=False).last().reindex(customers)
            columns["latent__state"] = last_states["code"].to_numpy(dtype=np.float64)
            columns["latent__days_in_state"] = snapshot_day - last_states["from_day"].to_numpy(
                dtype=np.float64
            )
        else:
            gone_at = pd.to_datetime(customer_traits["gone_at"])
            is_active = gone_at.isna() | (gone_at >= pd.Timestamp(day_date(snapshot_day)))
            columns["latent__there"] = is_active.to_numpy(dtype=np.float64)
        return pd.DataFrame(columns, index=range(len(customers)))
