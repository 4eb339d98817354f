"""One version of a registered model, as the registry lists it."""

from __future__ import annotations

from dataclasses import dataclass

SCORER = "stagecast-scorer"
CHAMPION = "champion"  # alias of the version that batch scoring uses
PREVIOUS_CHAMPION = "previous_champion"  # tag: the version that a champion took over from
CHAMPION_SINCE = "champion_since"  # UTC moment at which the alias last came to a version


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    Attributes
    ----------
    name, version
        Registered model, and its running number.
    run_id
        The MLflow run that logged it.
    aliases
        Aliases that point to it, ``champion`` among them.
    tags
        Config hash, data fingerprint, snapshot range, and why it was promoted.
    description
        The model card.
    created_at
        When it was registered, milliseconds since 1970.
    """

    name: str
    version: int
    run_id: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    description: str
    created_at: int
