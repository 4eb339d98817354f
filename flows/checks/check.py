"""Check a config: every table, file and service that it names, all problems in one answer."""

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
from features.errors import Problems, UserError
from features.sources.files import describe_location
from features.sources.sampling import Sampling, only_samples

if TYPE_CHECKING:
    from flows.services.workspace import Workspace

Group = Literal["events", "people", "campaigns", "learning", "machine"]
ALL: tuple[Group, ...] = ("events", "people", "campaigns", "learning", "machine")
# What planning audiences anew reads; event files may be in an archive by then.
PLANNING: tuple[Group, ...] = ("people", "campaigns", "machine")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

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
class Report:
    """What was looked at, and what is wrong.

    Attributes
    ----------
    findings
        In the order of the looks.
    problems
        All that has to be corrected.
    """

    findings: list[Finding] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)

    @contextmanager
    def look(self, what: str) -> Iterator[Callable[[str], None]]:
        """Look at one thing; the block calls what it is given with what it found."""
        said = ["in order"]
        before = len(self.problems.errors)
        with self.problems.collect():
            yield lambda text: said.append(text)
        count = len(self.problems.errors) - before
        if count:
            said.append(f"{count} problem{'s' if count > 1 else ''}")
        self.findings.append(Finding(what, "bad" if count else "ok", said[-1]))


def check(
    output: Path,
    config: str | None = None,
    settings: tuple[str, ...] = (),
    *,
    groups: Collection[Group] = ALL,
) -> Report:
    """Look at everything that a config names and a run needs; nothing is changed.

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
    report = Report()
    found: list[PartialConfig] = []
    with report.look("config") as say:
        found.append(load_partly(_config_file(output, config), settings))
        say(found[0].config.name)
        found[0].problems.refuse()
    if not found:
        return report
    partial = found[0]
    with only_samples() as sampling:
        if "events" in groups:
            _check_events(report, partial, sampling)
        if "people" in groups:
            _check_people(report, partial.config, sampling)
    _check_stages(report, partial)
    if "campaigns" in groups:
        _check_campaigns(report, partial)
    if "learning" in groups and partial.config.experiments:
        from flows.services.sends import configured_sends

        with only_samples(), report.look("experiments") as say:
            say(f"{len(configured_sends(partial.config))} sends")
    if "machine" in groups:
        _check_machine(report, partial.config, output)
    return report


def refuse_problems(
    output: Path,
    config: str | None = None,
    settings: tuple[str, ...] = (),
    *,
    groups: Collection[Group] = ALL,
) -> None:
    """Say nothing where all is in order, before a step that may take long.

    Raises
    ------
    UserError
        All problems in one answer.
    """
    check(output, config, settings, groups=groups).problems.refuse()


def prepare_checked(
    output: Path,
    config: str | None,
    settings: tuple[str, ...],
    *,
    groups: Collection[Group] = ALL,
) -> Workspace:
    """Check everything, then prepare a workspace as `prepare_workspace` does.

    Raises
    ------
    UserError
        All problems in one answer.
    """
    from flows.services.workspace import prepare_workspace, settle_config

    output = output.absolute()
    if config is not None:
        refuse_problems(output, config, settings, groups=groups)
        return prepare_workspace(output, config, settings)
    # The folder's own config may first have to be put back, where a step was killed.
    space = prepare_workspace(output, None, settings)
    try:
        refuse_problems(output, groups=groups)
    except BaseException:
        settle_config(output, keep=False)
        raise
    return space


def _config_file(output: Path, config: str | None) -> Path:
    if config is not None:
        return find_config(config)
    from flows.services.workspace import Workspace

    space = Workspace(output)
    if not space.config_file.is_file():
        space.config()  # says what is missing
    return space.config_file


def _check_events(report: Report, partial: PartialConfig, sampling: Sampling) -> None:
    from features.lifecycle.crm_stage_history import read_records
    from features.sources.acquisition_spend import read_spend
    from features.sources.events import connect
    from features.sources.identity_links import read_identities
    from features.sources.source_checks import check_source
    from flows.services.workspace import latest_event_day

    config, latest = partial.config, latest_event_day()
    types_known = not partial.broken & {"roles", "ignored_event_types"}
    for number, source in enumerate(config.sources):
        name = describe_location(source.events)
        with report.look(f"sources.{number}: {name}") as say:
            rows = check_source(config, number, latest=latest, types_known=types_known)
            say(_rows(name, rows, sampling))
    if config.identities is not None:
        name = describe_location(config.identities.table)
        with report.look(f"identities: {name}") as say:
            _, (told,) = read_identities(connect(), config, latest=latest, quarantine=None)
            say(_rows(name, told.rows, sampling))
    if config.stage_history is not None and not partial.broken & {"stages", "roles"}:
        name = describe_location(config.stage_history.table)
        with report.look(f"stage_history: {name}") as say:
            _, records = read_records(config, latest=latest, quarantine=None)
            say(_rows(name, records.rows, sampling))
    if config.spend is not None:
        name = describe_location(config.spend.table)
        with report.look(f"spend: {name}") as say:
            spent = read_spend(config)
            say(_rows(name, 0 if spent is None else len(spent), sampling))


def _rows(name: str, rows: int, sampling: Sampling) -> str:
    return f"the first {rows:,} rows" if name in sampling.cut else f"{rows:,} rows"


def _check_people(report: Report, config: Config, sampling: Sampling) -> None:
    from features.sources.customer_attributes import customer_facts
    from features.sources.products import read_products
    from features.sources.source_checks import refuse_unknown_words

    alone = {"customers": None, "consents": None, "suppressions": ()}
    tables = [name for name in alone if getattr(config, name)]
    for name in tables:
        # Each by itself, so that the answer says which of them is in order.
        only = config.model_copy(update={**alone, name: getattr(config, name)})
        with report.look(name) as say:
            facts = customer_facts(only, dt.datetime.now(config.zone).date())
            say(f"{len(facts.contacts if name == 'customers' else facts.suppressed):,} rows"
                if name != "consents" else "words for yes and no are known")  # fmt: skip
            refuse_unknown_words(only, sampling)
    if config.products is not None:
        with report.look("products") as say:
            found = read_products(config, dt.datetime.now(config.zone).date())
            say(_rows(describe_location(config.products.table), len(found), sampling)
                if found is not None else "none")  # fmt: skip


def _check_stages(report: Report, partial: PartialConfig) -> None:
    from features.lifecycle.taxonomy_parser import load_taxonomy

    if partial.broken & {"stages", "roles", "sources"}:
        return  # what rules may name is not known
    with report.look("stages") as say:
        taxonomy = load_taxonomy(partial.config)
        say(f"{taxonomy.name}: {len(taxonomy.stages)} stages")


def _check_campaigns(report: Report, partial: PartialConfig) -> None:
    from campaigns.customer_context import policy_rules, rules_on_history
    from campaigns.export_schema import load_targets
    from campaigns.playbook import load_playbooks
    from campaigns.stage_set import StageSet
    from features.lifecycle.taxonomy_parser import load_taxonomy
    from features.table.campaign_conditions import read_rules

    config, unknown = partial.config, partial.broken & {"stages", "roles", "sources"}
    with report.look("campaigns") as say:
        problems = Problems()
        playbooks = load_playbooks([Path(path) for path in config.campaigns], problems)
        say(f"{len(playbooks)} playbooks")
        taxonomy = None
        if not unknown:
            try:
                taxonomy = load_taxonomy(config)
            except UserError:
                taxonomy = None  # told under `stages`
        if taxonomy is not None:
            for playbook in playbooks:
                with problems.collect():
                    playbook.addressed(StageSet.of(taxonomy))
            with problems.collect():
                read_rules({**rules_on_history(playbooks), **policy_rules(config.contact_policy)},
                           config)  # fmt: skip
        problems.refuse()
    with report.look("exports") as say:
        problems = Problems()
        say(f"{len(load_targets([Path(path) for path in config.exports], problems))} export maps")
        problems.refuse()


def _check_machine(report: Report, config: Config, output: Path) -> None:
    from flows.checks import machine

    with report.look("output") as say:
        say(machine.check_writable(output))
    with report.look("disk") as say:
        say(machine.check_disk(config, output))
    with report.look("store") as say:
        say(machine.check_store(config, output))
    with report.look("mlflow") as say:
        say(machine.check_tracking(output))
    with report.look("prefect") as say:
        say(machine.check_prefect())
