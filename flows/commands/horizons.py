"""The command `stagecast horizons`: windows and horizons that the gaps between orders suggest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands.options import DEFAULT_OUTPUT, ConfigFile, JsonFile, Settings
from flows.commands.stages import StagesOutput, data_set

if TYPE_CHECKING:
    from features.history.order_spells import Spells
    from features.table.snapshot_builder import Builder
    from flows.setup.horizon_suggestions import Suggestion

_RECENCY_FREQUENCY = "stages/recency_frequency.yaml"


def horizons(
    config: ConfigFile = None,
    output: StagesOutput = None,
    json_file: JsonFile = None,
    overrides: Settings = None,
) -> None:
    """Suggest windows, lapse and churn horizons from the gaps between orders; draws the curve."""
    import yaml

    from features.history.order_spells import Spells
    from flows.services.console import console, deliver_result
    from flows.setup.horizon_plots import return_figure
    from flows.setup.horizon_suggestions import (
        gap_quantiles,
        return_curve,
        suggest_horizons,
    )

    builder = data_set(config, output, overrides)
    last_snapshot = builder.last_snapshot
    spells = Spells.of(builder.history, last_snapshot)
    suggestion = suggest_horizons(spells, builder.history, last_snapshot)
    quantiles, curve = gap_quantiles(spells), return_curve(spells)
    pasted = suggestion.blocks(stages_block(builder, suggestion))
    yaml_text = yaml.safe_dump(pasted, sort_keys=False, default_flow_style=None, width=100)
    picture = (output or DEFAULT_OUTPUT) / "horizons.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    return_figure(spells, suggestion, title=f"Silence: {builder.config.name}").savefig(picture)

    def show() -> None:
        _print(spells, suggestion, quantiles, curve)
        console.print(f"curve: {picture}", soft_wrap=True)
        console.print("to paste in place of these keys of the config:")
        print(yaml_text, end="")  # as it is: no wrapping, no markup

    deliver_result(_content(suggestion, quantiles, curve, pasted), json_file, show)


def _print(spells: Spells, suggestion: Suggestion, quantiles: Any, curve: Any) -> None:
    """Quantiles of the gaps, the curve at a dozen points, and what follows from them."""
    from flows.services.console import console, print_table

    still_open = int((~spells.closed).sum())
    print_table(
        f"days between purchase days: {len(spells.gaps):,} gaps, {still_open:,} still open",
        ["of gaps, at most", "pooled", "every customer alike", "with the open ones"],
        [[f"{row.quantile:.0%}", *map(_days, row[2:])] for row in quantiles.itertuples()],
    )
    rows = [[int(r.days), f"{r.share:.1%}", int(r.n)] for r in _shown(curve).itertuples()]
    if rows:
        print_table(
            "of those silent for L days, buy in the next L", ["L", "share", "silences"], rows
        )
    console.print(f"L = {suggestion.lapse_days}: {suggestion.why}.")
    console.print(
        "Gaps of customers who are still silent are open: the last column and the shares count "
        "them for as long as they were watched; the quantiles before it know closed gaps only."
    )


def _days(value: float) -> int | None:
    return None if value != value else int(value)


def _shown(curve: Any) -> Any:
    """A dozen judged points, spread evenly in proportion."""
    judged = curve[curve["judged"]].reset_index(drop=True)
    wanted, points = 1.0, []
    while wanted <= len(judged):
        points.append(round(wanted) - 1)
        wanted = max(wanted * 1.6, wanted + 1)
    return judged.iloc[points]


def stages_block(builder: Builder, suggestion: Suggestion) -> dict[str, Any]:
    """The config's own taxonomy with its parameters filled in, else that by purchases alone."""
    from features.config.config import StagesFile

    values = {
        "L": suggestion.lapse_days,
        "w": suggestion.window_days,
        "k": suggestion.loyal_days,
        "m": suggestion.new_days,
    }
    values |= {"W": values["w"], "K": values["k"]}
    given = builder.config.stages
    there = {p: v for p, v in values.items() if p in builder.taxonomy.parameters}
    if isinstance(given, StagesFile) and "L" in there:
        shipped = Path(__file__).resolve().parents[2] / "configs"
        file = Path(given.file)
        name = str(file.relative_to(shipped)) if file.is_relative_to(shipped) else str(file)
        return {"file": name, "params": there}
    return {"file": _RECENCY_FREQUENCY, "params": {p: values[p] for p in "Lwkm"}}


def _content(
    suggestion: Suggestion, quantiles: Any, curve: Any, pasted: dict[str, Any]
) -> dict[str, Any]:
    return {
        "lapse_days": suggestion.lapse_days,
        "by_return_days": suggestion.by_return,
        "why": suggestion.why,
        "config": pasted,
        "gap_quantiles": json.loads(quantiles.to_json(orient="records")),
        "curve": json.loads(curve.to_json(orient="records")),
    }
