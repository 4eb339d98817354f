"""The plan of the current run as it was written: campaigns, exclusions, and files for tools."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from campaigns.target_exports import EXPORTS_FOLDER
from features.errors import UserError
from features.storage.runs import run_folder
from flows.pages.site import Site
from flows.serving.answers import Refusal


def read_plan(site: Site) -> pd.DataFrame:
    """The plan's table, one row a campaign (`campaigns.plan_table`); empty without campaigns."""
    return _table(site, "plan.csv", ["campaign_id", "title"])


def read_exclusions(site: Site, campaign: str) -> pd.DataFrame:
    """Why customers are not in a campaign: reason and customers, the most frequent first."""
    rows = _table(site, "exclusions.csv", ["campaign_id", "reason", "customers"])
    mine = rows[(rows["campaign_id"] == campaign) & (rows["customers"] > 0)]
    return mine.sort_values("customers", ascending=False, kind="stable")


def campaign_titles(site: Site) -> dict[str, str]:
    """Titles of the planned campaigns by id, in the order of the plan."""
    plan = read_plan(site)
    return dict(zip(plan["campaign_id"], plan["title"], strict=True))


def export_files(site: Site, campaign: str) -> dict[str, Path]:
    """Files for other tools that hold a campaign, by their name below the folder of exports."""
    folder = run_folder(site.output, site.reader.current_run_id()) / EXPORTS_FOLDER
    return {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.startswith(".") and _is_of(file, campaign)
    }


def export_file(site: Site, campaign: str, name: str) -> Path:
    """One of `export_files`.

    Raises
    ------
    Refusal
        If there is none of this name; only listed names are looked up.
    """
    files = export_files(site, campaign)
    if name not in files:
        raise Refusal(404, "export", "no such file", "a file that the campaign's page lists")
    return files[name]


def _is_of(file: Path, campaign: str) -> bool:
    return campaign in (file.stem, file.name.partition(".")[0], file.parent.name)


def _table(site: Site, name: str, columns: list[str]) -> pd.DataFrame:
    file = run_folder(site.output, site.reader.current_run_id()) / "audiences" / name
    try:
        return pd.read_csv(file, dtype={"campaign_id": str})
    except FileNotFoundError:
        return pd.DataFrame(columns=columns)
    except (OSError, ValueError) as error:
        raise UserError(
            str(file), found=type(error).__name__, expected="the plan that the run has written",
            hint="run `stagecast target` with this output folder",
        ) from error  # fmt: skip
