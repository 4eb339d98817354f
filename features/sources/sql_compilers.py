"""Lazy import of the SQL compilers of Ibis, which otherwise loads those of twenty engines."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

_PACKAGE = "ibis.backends.sql.compilers"


def import_compilers_when_used() -> None:
    """Make the compiler of each SQL engine load on first use.

    Ibis imports the compilers of all engines with the first, which takes a quarter of a second in
    every process. The package is registered without running it. A module of it loads alone, and
    any other name runs the package as it stands.
    """
    if _PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.loader is None:
        return  # Ibis has arranged its modules anew, and loads them its own way
    package, loader = importlib.util.module_from_spec(spec), spec.loader

    def load_name(name: str) -> Any:
        if not name.startswith("_") and importlib.util.find_spec(f"{_PACKAGE}.{name}") is not None:
            return importlib.import_module(f"{_PACKAGE}.{name}")
        del package.__dict__["__getattr__"]
        loader.exec_module(package)
        return getattr(package, name)

    package.__dict__["__getattr__"] = load_name
    sys.modules[_PACKAGE] = package
