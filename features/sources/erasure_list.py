"""Who asked to be erased: hashes that keep them out of every later run, and no id in clear.

The list must be able to tell whether an id of the sources is on it, and so can whoever holds both
the list and a guess: it needs the same protection as the sources themselves.
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

FILE = "erased.json"
ON_REQUEST = "erased on request"


@dataclass(frozen=True)
class Erased:
    """The list of an output folder.

    Attributes
    ----------
    salt
        Hexadecimal, of this list alone: two lists cannot be compared.
    hashes
        Keyed BLAKE2b of every erased customer id.
    """

    salt: str = ""
    hashes: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.hashes)

    @classmethod
    def load(cls, output: Path) -> Erased:
        """The list of an output folder; empty where nobody was erased.

        Raises
        ------
        UserError
            Where it cannot be read: going on would bring the erased back.
        """
        path = output / FILE
        if not path.is_file():
            return cls()
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(content["salt"]), frozenset(map(str, content["hashes"])))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                str(path),
                found="a damaged list of erased customers",
                expected="the file that `stagecast erase` keeps",
                mend="put it back from a copy: without it the erased would be scored again",
            ) from error

    def save(self, output: Path) -> None:
        """Write the list whole or not at all."""
        partial = output / f"{FILE}.tmp"
        content = {"salt": self.salt, "hashes": sorted(self.hashes)}
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")
        os.chmod(partial, 0o600)
        os.replace(partial, output / FILE)

    def adding(self, customer: str, *, salt: str) -> Erased:
        """The list with one customer more; `salt` is taken by the first one."""
        salted_list = self if self.salt else replace(self, salt=salt)
        return replace(salted_list, hashes=salted_list.hashes | {salted_list.hashed(customer)})

    def hashed(self, customer: str) -> str:
        """Hash of a customer id by this list's salt."""
        salt_bytes = bytes.fromhex(self.salt)
        return hashlib.blake2b(customer.encode("utf-8"), key=salt_bytes, digest_size=32).hexdigest()

    def among(self, customers: Iterable[str | None]) -> list[str]:
        """Which of some ids are on the list."""
        if not self:
            return []
        return [customer for customer in customers if customer is not None and self._has(customer)]

    def _has(self, customer: str) -> bool:
        """Whether an id is on the list, as it is written or as keys are kept."""
        canonical_key = key_value(customer)
        return any(
            self.hashed(spelling) in self.hashes
            for spelling in {customer, canonical_key or customer}
        )


NOBODY = Erased()
