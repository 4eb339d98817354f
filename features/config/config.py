"""The configuration of a data set: one YAML file, validated, frozen, unknown keys refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from features.config.crm_stages import StageHistory
from features.config.customers import CustomerData
from features.config.guards import GuardSettings
from features.config.monitoring import Monitoring
from features.config.pages import Pages
from features.config.retention import Retention
from features.config.sources import EventSource, Identities, Location, Spend
from features.config.store_location import refused
from features.config.tasks import (
    Backtest,
    ChurnTask,
    ClvTask,
    LeadTask,
    StageTask,
    TransitionTask,
    Tune,
)
from features.config.types import (
    DATA,
    LEARNING,
    STORED,
    USE,
    Affects,
    MemorySize,
    PlainMapping,
    PositiveDays,
    Strict,
    memory_bytes,
)
from features.config.validation_messages import problem
from features.config.webhooks import WebhookTarget
from features.config.yaml_loading import find as find
from features.config.yaml_loading import override as override
from features.config.yaml_loading import parse_yaml as parse_yaml
from features.config.yaml_loading import yaml_text
from features.contracts import EVENT_COLUMNS, ROLES
from features.errors import Problems


class Snapshots(Strict):
    """The grid of reference dates."""

    every_days: PositiveDays = 30
    last: dt.date | None = None


class StagesFile(Strict):
    """Where the taxonomy stands, the preset of its parameters, and values that override it."""

    file: str
    preset: str | None = None
    params: dict[str, int | float] = Field(default={})


def _stages_tag(value: Any) -> str:
    is_file = isinstance(value, StagesFile) or (isinstance(value, dict) and "file" in value)
    return "StagesFile" if is_file else "inline"


Stages = Annotated[
    Annotated[StagesFile, Tag("StagesFile")] | Annotated[PlainMapping, Tag("inline")],
    Discriminator(_stages_tag),
]


class Quarantine(Strict):
    """How much of a source may be set aside before a run stops."""

    max_share: Annotated[float, Field(ge=0, le=1)] = 0.01


class Config(CustomerData):
    """One data set: where its events lie, what they mean, what to predict."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"), STORED]
    description: Annotated[str, USE] = ""
    notice: Annotated[str, USE] = ""
    timezone: Annotated[str, DATA] = "UTC"
    sources: Annotated[tuple[EventSource, ...], Field(min_length=1), STORED]
    identities: Annotated[Identities | None, DATA] = None
    spend: Annotated[Spend | None, USE] = None
    roles: Annotated[dict[str, tuple[str, ...]], DATA] = Field(default={})
    ignored_event_types: Annotated[tuple[str, ...], DATA] = ()
    sensitive: Annotated[tuple[str, ...], DATA] = ()
    stage_history: Annotated[StageHistory | None, DATA] = None
    refunds: Annotated[Literal["net", "separate", "reject"], DATA] = "net"
    refund_amounts: Annotated[Literal["either", "negative", "positive"], DATA] = "either"
    currency: Annotated[str, DATA] = ""
    minor_units: Annotated[int, Field(ge=0, le=6), DATA] = 2
    data_through: Annotated[dt.date | None, STORED] = None
    # Day 0 of 1970 is what an empty time turns into.
    earliest: Annotated[dt.date, DATA] = dt.date(1970, 1, 2)
    placeholder_ids: Annotated[tuple[str, ...], DATA] = ()
    guards: Annotated[GuardSettings, USE] = Field(default={})
    stages: Annotated[Stages, DATA]
    activity_days: Annotated[PositiveDays | None, DATA] = None
    windows: Annotated[tuple[PositiveDays, ...], Field(min_length=1), DATA] = (
        7,
        14,
        30,
        60,
        90,
        180,
        365,
    )
    snapshots: Annotated[Snapshots, LEARNING] = Snapshots()
    churn: Annotated[ChurnTask, LEARNING] = ChurnTask()
    clv: Annotated[ClvTask, LEARNING] = ClvTask()
    lead: Annotated[LeadTask, STORED] = LeadTask()
    transition: Annotated[TransitionTask, DATA] = TransitionTask()
    stage: Annotated[StageTask, LEARNING] = StageTask()
    tune: Annotated[Tune | None, LEARNING] = None
    settle_days: Annotated[int, Field(ge=0, le=365), LEARNING] = 0
    campaigns: Annotated[tuple[str, ...], USE] = ()
    backtest: Annotated[Backtest, USE] = Backtest()
    truth: Annotated[str | None, USE] = None
    quarantine: Annotated[Quarantine, STORED] = Quarantine()
    monitoring: Annotated[Monitoring, USE] = Monitoring()
    webhooks: Annotated[tuple[WebhookTarget, ...], USE] = ()
    pages: Annotated[Pages, USE] = Pages()
    store: Annotated[str | None, USE] = None
    retention: Annotated[Retention, USE] = Retention()
    seed: Annotated[int, Field(ge=0, lt=2**31), LEARNING] = 20240501
    threads: Annotated[int, Field(ge=1, le=256), USE] = 2
    memory_limit: Annotated[MemorySize, USE] = "4GB"
    engine: Annotated[Literal["duckdb", "spark"], USE] = "duckdb"
    spark: Annotated[dict[str, str], USE] = Field(default={})

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"unknown time zone {zone!r}; use an IANA name like America/New_York")
        return zone

    @field_validator("store")
    @classmethod
    def _store_without_secrets(cls, url: str | None) -> str | None:
        objection = None if url is None else refused(url)
        if objection is not None:
            raise ValueError(objection)
        return url

    @field_validator("roles")
    @classmethod
    def _known_roles(cls, roles: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        unknown = sorted(set(roles) - set(ROLES))
        if unknown:
            raise ValueError(f"unknown role {unknown[0]!r}; allowed: {', '.join(ROLES)}")
        return roles

    @field_validator("windows")
    @classmethod
    def _sorted_windows(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(windows)))

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if disagreements := list(self._disagreements()):
            raise ValueError("\n".join(disagreements))
        return self

    def _disagreements(self) -> Iterator[str]:
        """What the keys say against each other, one line each."""
        names = [target.name for target in self.webhooks]
        if len(set(names)) < len(names):
            yield "two targets of `webhooks` with the same name"
        yield from self._consent_disagreements()
        both_roles = set(self.roles.get("purchase", ())) & set(self.roles.get("refund", ()))
        if both_roles:
            yield f"event type {min(both_roles)!r} as both purchase and refund"
        if self.stage.truth == "history" and self.stage_history is None:
            yield (
                "stage.truth `history` without `stage_history`; say where the CRM's stage records "
                "lie: stage_history: {table: FILE, columns: {...}}"
            )
        if self.identities and not any(s.columns.anonymous_id for s in self.sources):
            yield "`identities`, while no source maps `anonymous_id` under its `columns`"
        attributes = {
            listed_name for source in self.sources for listed_name in source.columns.attributes
        }
        for listed_name in sorted(set(self.sensitive) - attributes - {"channel"}):
            yield (
                f"`sensitive` names {listed_name!r}, which no source declares as an attribute "
                f"(declared: {', '.join(sorted(attributes)) or 'none'})"
            )
        mapped_types = {event_type for types in self.role_types().values() for event_type in types}
        for listed_name in sorted(set(self.lead.points) - mapped_types):
            yield (
                f"`lead.points` names {listed_name!r}, which no role maps "
                f"(event types: {', '.join(sorted(mapped_types))})"
            )
        cancel_types = self.role_types().get("cancel", ())
        for listed_name in sorted(set(self.churn.involuntary) - set(cancel_types)):
            yield (
                f"`churn.involuntary` names {listed_name!r}, which is no event type of the role "
                f"cancel (roles: {{cancel: {list(cancel_types)}}})"
            )
        if self.churn.involuntary and self.churn.by != "cancel":
            yield "`churn.involuntary` without `churn.by: cancel`"

    @property
    def memory_bytes(self) -> int:
        """The memory that reading and tallying stay within."""
        return memory_bytes(self.memory_limit)

    @property
    def zone(self) -> ZoneInfo:
        """The business's time zone."""
        return ZoneInfo(self.timezone)

    def role_types(self) -> dict[str, tuple[str, ...]]:
        """Event types of every role; a type named like a role belongs to it without saying so."""
        mapped = {event_type for types in self.roles.values() for event_type in types}
        default_types = {role: (role,) for role in ROLES if role not in mapped}
        return {
            **{
                role_name: event_type
                for role_name, event_type in default_types.items()
                if role_name not in self.roles
            },
            **self.roles,
        }

    def content_for(self, purpose: Literal["features", "recipe"]) -> dict[str, Any]:
        """The keys that affect stored features, or how models learn, in JSON-able form."""
        keys = {key for key, affects in key_effects().items() if getattr(affects, purpose)}
        content = self.model_dump(mode="json", by_alias=True, include=keys)
        if self.stage.truth != "history":
            content.pop("stage_history")  # read by `stages disagree` alone
        return content

    def attributes(self) -> tuple[str, ...]:
        """Declared attributes of all sources that are not sensitive, in a stable order."""
        attribute_names = {name for source in self.sources for name in source.columns.attributes}
        return tuple(sorted(attribute_names - set(self.sensitive) - set(EVENT_COLUMNS)))


def key_effects() -> dict[str, Affects]:
    """What each key of the config affects, as declared there."""
    return {
        key: next(item for item in field.metadata if isinstance(item, Affects))
        for key, field in Config.model_fields.items()
    }


def load(path: Path, settings: tuple[str, ...] = ()) -> Config:
    """Validated config of a YAML file, with ``KEY=VALUE`` overrides.

    Relative file names inside it (sources, taxonomy, playbooks) are resolved first, so that the
    result means the same from any folder.

    Raises
    ------
    UserError
        Naming every key at fault, what was found and what is allowed.
    """
    content = content_of(path, settings)
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise problem(error, path, content, Config) from error
    return resolve(config, path)


def content_of(path: Path, settings: tuple[str, ...] = ()) -> dict[str, Any]:
    """Mapping of a YAML file with ``KEY=VALUE`` overrides, not yet validated."""
    content = parse_yaml(path)
    for setting in settings:
        content = override(content, setting)
    return content


def resolve(config: Config, path: Path, problems: Problems | None = None) -> Config:
    """The same config with absolute file names.

    `problems` collects missing files, which then are left out; without it they are raised.

    Raises
    ------
    UserError
        Where playbooks, export maps, experiments or the taxonomy are missing.
    """
    missing = problems if problems is not None else Problems()
    sources = tuple(
        source.model_copy(
            update={
                "events": _absolute(source.events, path),
                "lookups": tuple(
                    lookup.model_copy(update={"table": _absolute(lookup.table, path)})
                    for lookup in source.lookups
                ),
            }
        )
        for source in config.sources
    )
    tables = {
        "identities": config.identities,
        "spend": config.spend,
        "stage_history": config.stage_history,
    }
    table_blocks = {
        config_key: block.model_copy(update={"table": _absolute(block.table, path)})
        for config_key, block in tables.items()
        if block is not None
    }
    stages = config.stages
    if isinstance(stages, StagesFile):
        with missing.collect():
            stages_file = str(find(stages.file, beside=path).resolve())
            stages = stages.model_copy(update={"file": stages_file})
    truth_file = None if config.truth is None else str(_absolute(config.truth, path))
    resolved: dict[str, Any] = {"sources": sources, "stages": stages, "truth": truth_file}
    for config_key in ("campaigns", "exports", "experiments"):
        resolved[config_key] = _files(getattr(config, config_key), path, missing)
    if problems is None:
        missing.refuse()
    return config.model_copy(update={**resolved, **table_blocks, **_about_customers(config, path)})


def _files(names: tuple[str, ...], path: Path, missing: Problems) -> tuple[str, ...]:
    """Absolute names of files that lie beside the config or ship with us."""
    absolute_names = []
    for file_name in names:
        with missing.collect():
            absolute_names.append(str(find(file_name, beside=path).resolve()))
    return tuple(absolute_names)


def _about_customers(config: Config, path: Path) -> dict[str, Any]:
    """The tables beside events with absolute file names."""
    resolved: dict[str, Any] = {
        "suppressions": tuple(
            suppression_list.model_copy(update={"table": _absolute(suppression_list.table, path)})
            for suppression_list in config.suppressions
        ),
    }
    for config_key in ("customers", "consents", "products"):
        table_block = getattr(config, config_key)
        if table_block is not None:
            resolved[config_key] = table_block.model_copy(
                update={"table": _absolute(table_block.table, path)}
            )
    return resolved


def _absolute(location: Location, path: Path) -> Location:
    if isinstance(location, tuple):
        return tuple(str(_absolute(part, path)) for part in location)
    if not isinstance(location, str) or Path(location).is_absolute():
        return location
    beside = path.parent / location
    if not any(sign in location for sign in "*?["):
        return str((Path(location) if _only_here(location, beside) else beside).absolute())
    in_current_folder = any(Path().glob(location)) and not any(path.parent.glob(location))
    return str((Path(location) if in_current_folder else beside).absolute())


def _only_here(location: str, beside: Path) -> bool:
    """Whether a file is in the current folder and not beside the config."""
    return Path(location).exists() and not beside.exists()


def dump(config: Config, path: Path) -> None:
    """Write the resolved config as YAML that `load` reads back to the same config."""
    content = config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    path.write_text(yaml_text(content), encoding="utf-8")
