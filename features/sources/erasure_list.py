"""Hashes of erased customers, which keep them out of every later run; no id in clear text.

Anyone with the list can test a guessed id against it, so it needs the same protection as the
sources themselves.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from features.errors import UserError
from features.sources.keys import key_value

ERASURE_FILE = "erased.json"
ON_REQUEST = "erased on request"


@dataclass(frozen=True)
class ErasureList:
    """Salted hashes of the erased customers of an output folder.

    Attributes
    ----------
    salt
        Hexadecimal; each list has its own, so that two lists cannot be compared.
    hashes
        Keyed BLAKE2b of every erased customer id.
    """

    salt: str = ""
    hashes: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.hashes)

    @classmethod
    def load(cls, output: Path) -> ErasureList:
        """Load the list of an output folder; empty if no customer was erased.

        Raises
        ------
        UserError
            If it cannot be read: continuing would process erased customers again.
        """
        path = output / ERASURE_FILE
        if not path.is_file():
            return cls()
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(content["salt"]), frozenset(map(str, content["hashes"])))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                str(path),
                found="a damaged list of erased customers",
                expected="the file that `stagecast erase` writes",
                hint="restore it from a backup: without it erased customers would be scored again",
            ) from error

    def save(self, output: Path) -> None:
        """Write the list atomically, readable by the owner only."""
        partial = output / f"{ERASURE_FILE}.tmp"
        content = {"salt": self.salt, "hashes": sorted(self.hashes)}
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
        os.chmod(partial, 0o600)
        os.replace(partial, output / ERASURE_FILE)

    def adding(self, customer: str, *, salt: str) -> ErasureList:
        """Return the list with one more customer; `salt` is used only if the list has none."""
        salted_list = self if self.salt else replace(self, salt=salt)
        return replace(salted_list, hashes=salted_list.hashes | {salted_list.hashed(customer)})

    def hashed(self, customer: str) -> str:
        """Return the hash of a customer id under this list's salt."""
        salt_bytes = bytes.fromhex(self.salt)
        return hashlib.blake2b(customer.encode("utf-8"), key=salt_bytes, digest_size=32).hexdigest()

    def among(self, customers: Iterable[str | None]) -> list[str]:
        """Return the ids that are on the list."""
        if not self:
            return []
        return [customer for customer in customers if customer is not None and self._has(customer)]

    def _has(self, customer: str) -> bool:
        """Return True if an id is on the list, as written or as a canonical key."""
        canonical_key = key_value(customer)
        return any(
            self.hashed(spelling) in self.hashes
            for spelling in {customer, canonical_key or customer}
        )


NO_ERASURES = ErasureList()
