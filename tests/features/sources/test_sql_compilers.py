"""SQL compilers of Ibis: that of DuckDB loads alone, and all others are still to be had."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
from features.sources.duckdb_connection import connect
package = "ibis.backends.sql.compilers"
connect().sql("SELECT 1 AS a").count().execute()
assert f"{package}.duckdb" in sys.modules
assert f"{package}.snowflake" not in sys.modules, "compilers of all engines are loaded"
import ibis
import ibis.backends.sql.compilers as compilers
assert ibis.to_sql(ibis.table({"a": "int64"}, name="t").a.sum(), dialect="sqlite")
assert compilers.pyspark.compiler is not None
from ibis.backends.sql.compilers import TrinoCompiler
assert compilers.TrinoCompiler is TrinoCompiler
assert not hasattr(compilers, "no_such_engine")
"""


def test_only_the_compiler_in_use_is_loaded_and_any_other_can_be() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
