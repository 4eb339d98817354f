"""Check every table, file and service that a config names; report all problems at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from features.config.config import Config
from features.config.config import find as find_config
from features.config.partial_config import PartialConfig, load_partly
from features.errors import Problems
from features.sources.locations import describe_location
from features.sources.sampling import Sampling, only_samples
from flows.services.progress_bars import working

if TYPE_CHECKING:
    from features.lifecycle.taxonomy import Taxonomy
    from flows.services.workspace import Workspace

_Group = Literal["events", "people", "campaigns", "learning", "machine"]
ALL_GROUPS: tuple[_Group, ...] = ("events", "people", "campaigns", "learning", "machine")
# What planning audiences reads; event files may already be archived.
PLANNING_GROUPS: tuple[_Group, ...] = ("people", "campaigns", "machine")


@dataclass(frozen=True)
class CheckFinding:
    """Result of one check.

    Attributes
    ----------
    what
        The config key or service.
    state
        Whether it is in order.
    found
        What is there, in a few words.
    """

    what: str
    state: Literal["ok", "bad"]
    found: str


@dataclass
class CheckReport:
    """All checks and the problems found.

    Attributes
    ----------
    findings
        In the order of the looks.
    problems
        All that has to be corrected.
    """

    findings: list[CheckFinding] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)

    @contextmanager
    def look(self, subject: str) -> Iterator[Callable[[str], None]]:
        """Collect the problems of one check; the block passes its result to the callback."""
        descriptions = ["in order"]
        earlier_problems = len(self.problems.errors)
        with self.problems.collect():
            yield lambda text: descriptions.append(text)
        new_problems = len(self.problems.errors) - earlier_problems
        if new_problems:
            descriptions.append(f"{new_problems} problem{'s' if new_problems > 1 else ''}")
        self.findings.append(
            CheckFinding(subject, "bad" if new_problems else "ok", descriptions[-1])
        )


def check_config(
    output: Path,
    config: str | None = None,
    settings: tuple[str, ...] = (),
    *,
    groups: Collection[_Group] = ALL_GROUPS,
) -> CheckReport:
    """Check everything that a config names and a run needs; change nothing.

    Parameters
    ----------
    output
        Folder of results.
    config
        YAML file; None: the config of the output folder.
    settings
        ``KEY=VALUE`` overrides.
    groups
        What to look at: tables of events, tables about people, campaigns and exports, experiments,
        and the machine.
    """
    report = CheckReport()
    loaded: list[PartialConfig] = []
    with report.look("config") as describe_finding:
        loaded.append(load_partly(_config_file(output, config), settings))
        describe_finding(loaded[0].config.name)
        loaded[0].problems.refuse()
    if not loaded:
        return report
    partial = loaded[0]
    with only_samples() as sampling:
        if "events" in groups:
            _check_events(report, partial, sampling)
        if "people" in groups:
            _check_people(report, partial.config, sampling)
    taxonomy = _check_stages(report, partial)
    if "campaigns" in groups:
        _check_campaigns(report, partial.config, taxonomy)
    if "learning" in groups and partial.config.experiments:
        from flows.services.sends import configured_sends

        with only_samples(), report.look("experiments") as describe_finding:
            describe_finding(f"{len(configured_sends(partial.config))} sends")
    if "machine" in groups:
        _check_machine(report, partial.config, output)
    return report


def refuse_problems(
    output: Path,
    config: str | None = None,
    settings: tuple[str, ...] = (),
    *,
    groups: Collection[_Group] = ALL_GROUPS,
) -> None:
    """Raise if anything is wrong, before a step that may take long.

    Raises
    ------
    UserError
        All problems in one error.
    """
    with working("checking what the config names"):
        report = check_config(output, config, settings, groups=groups)
    report.problems.refuse()


def prepare_checked(
    output: Path,
    config: str | None,
    settings: tuple[str, ...],
    *,
    groups: Collection[_Group] = ALL_GROUPS,
) -> Workspace:
    """Check everything, then prepare a workspace as `prepare_workspace` does.

    Raises
    ------
    UserError
        All problems in one error.
    """
    from flows.services.workspace import prepare_workspace, settle_config

    output = output.absolute()
    if config is not None:
        refuse_problems(output, config, settings, groups=groups)
        return prepare_workspace(output, config, settings)
    # After a killed step, this first restores the folder's own config.
    workspace = prepare_workspace(output, None, settings)
    try:
        refuse_problems(output, groups=groups)
    except BaseException:
        settle_config(output, keep=False)
        raise
    return workspace


def _config_file(output: Path, config: str | None) -> Path:
    if config is not None:
        return find_config(config)
    from flows.services.workspace import Workspace

    workspace = Workspace(output)
    if not workspace.config_file.is_file():
        workspace.config()  # says what is missing
    return workspace.config_file


def _check_events(report: CheckReport, partial: PartialConfig, sampling: Sampling) -> None:
    from features.lifecycle.crm_stage_reading import read_records
    from features.sources.acquisition_spend import read_spend
    from features.sources.events import connect
    from features.sources.identity_links import read_identities
    from features.sources.source_checks import check_source
    from flows.services.workspace import latest_event_day

    config, latest, connection = partial.config, latest_event_day(), connect()
    types_known = not partial.broken & {"roles", "ignored_event_types"}
    for number, source in enumerate(config.sources):
        table_name = describe_location(source.events)
        with report.look(f"sources.{number}: {table_name}") as describe_finding:
            rows = check_source(config, number, connection, latest=latest, types_known=types_known)
            describe_finding(_rows(table_name, rows, sampling))
    if config.identities is not None:
        table_name = describe_location(config.identities.table)
        with report.look(f"identities: {table_name}") as describe_finding:
            _, (identity_report,) = read_identities(
                connection, config, latest=latest, quarantine=None
            )
            describe_finding(_rows(table_name, identity_report.rows, sampling))
    if config.stage_history is not None and not partial.broken & {"stages", "roles"}:
        table_name = describe_location(config.stage_history.table)
        with report.look(f"stage_history: {table_name}") as describe_finding:
            _, records = read_records(config, latest=latest, quarantine=None)
            describe_finding(_rows(table_name, records.rows, sampling))
    if config.spend is not None:
        table_name = describe_location(config.spend.table)
        with report.look(f"spend: {table_name}") as describe_finding:
            spend_rows = read_spend(config)
            describe_finding(
                _rows(table_name, 0 if spend_rows is None else len(spend_rows), sampling)
            )


def _rows(name: str, rows: int, sampling: Sampling) -> str:
    return f"the first {rows:,} rows" if name in sampling.cut else f"{rows:,} rows"


def _check_people(report: CheckReport, config: Config, sampling: Sampling) -> None:
    from features.sources.customer_attributes import customer_facts
    from features.sources.products import read_products
    from features.sources.source_checks import refuse_unknown_words

    without_tables = {"customers": None, "consents": None, "suppressions": ()}
    tables = [table_name for table_name in without_tables if getattr(config, table_name)]
    for table_name in tables:
        # One table at a time, so that the report shows which of them is valid.
        single_table_config = config.model_copy(
            update={**without_tables, table_name: getattr(config, table_name)}
        )
        with report.look(table_name) as describe_finding:
            facts = customer_facts(single_table_config, dt.datetime.now(config.zone).date())
            people = facts.contacts if table_name == "customers" else facts.suppressed
            consent_words = "words for yes and no are known"
            describe_finding(consent_words if table_name == "consents" else f"{len(people):,} rows")
            refuse_unknown_words(single_table_config, sampling)
    if config.products is not None:
        with report.look("products") as describe_finding:
            product_rows = read_products(config, dt.datetime.now(config.zone).date())
            name = describe_location(config.products.table)
            count = 0 if product_rows is None else len(product_rows)
            describe_finding("none" if product_rows is None else _rows(name, count, sampling))


def _check_stages(report: CheckReport, partial: PartialConfig) -> Taxonomy | None:
    """Check the stages and return them; None if they, or the names they may use, are broken."""
    from features.lifecycle.taxonomy_parser import load_taxonomy

    taxonomy: Taxonomy | None = None
    if partial.broken & {"stages", "roles", "sources"}:
        return taxonomy
    with report.look("stages") as describe_finding:
        taxonomy = load_taxonomy(partial.config)
        describe_finding(f"{taxonomy.name}: {len(taxonomy.stages)} stages")
    return taxonomy


def _check_campaigns(report: CheckReport, config: Config, taxonomy: Taxonomy | None) -> None:
    from campaigns.customer_context import policy_rules, rules_on_history
    from campaigns.export_schema import load_targets
    from campaigns.playbook_loading import (
        playbooks_by_file,
        problems_of_file,
        refuse_unknown_names,
    )
    from campaigns.stage_set import StageSet
    from features.table.campaign_rules import FOREVER, MEDIAN_GAP, read_rules

    with report.look("campaigns") as describe_finding:
        problems = Problems()
        playbooks = playbooks_by_file([Path(path) for path in config.campaigns], problems)
        describe_finding(f"{len(playbooks)} playbooks")
        stage_set = None if taxonomy is None else StageSet.of(taxonomy)
        for path, playbook in playbooks.items():
            with problems_of_file(problems, path):
                refuse_unknown_names(
                    [playbook], config.channels, stage_set, config.customer_dates()
                )
        if taxonomy is not None:
            parameters = {**taxonomy.parameters, MEDIAN_GAP: FOREVER}
            for path, playbook in playbooks.items():
                with problems_of_file(problems, path):
                    read_rules(rules_on_history([playbook]), config, parameters=parameters)
            with problems.collect():
                read_rules(policy_rules(config.contact_policy), config, parameters=parameters)
        problems.refuse()
    with report.look("exports") as describe_finding:
        problems = Problems()
        describe_finding(
            f"{len(load_targets([Path(path) for path in config.exports], problems))} export maps"
        )
        problems.refuse()


def _check_machine(report: CheckReport, config: Config, output: Path) -> None:
    from flows.checks import machine

    with report.look("output") as describe_finding:
        describe_finding(machine.check_writable(output))
    with report.look("disk") as describe_finding:
        describe_finding(machine.check_disk(config, output))
    with report.look("store") as describe_finding:
        describe_finding(machine.check_store(config, output))
    with report.look("mlflow") as describe_finding:
        describe_finding(machine.check_tracking(output))
    with report.look("prefect") as describe_finding:
        describe_finding(machine.check_prefect())
