"""Hand the noted history of an output folder to Prefect: ``python -m THIS OUTPUT``.

Prefect itself creates its database and writes the runs, so that its page shows them like those of
a server. Runs that it has already are left alone; those that still run wait for the next time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from features.errors import UserError
from flows.services.ends_with_parent import child_command
from flows.services.flow_history import NotedRun, noted_runs
from flows.services.prefect_names import dataset_name

if TYPE_CHECKING:
    from prefect.server.schemas.states import State
    from sqlalchemy.ext.asyncio import AsyncSession


def hand_to_prefect(output: Path) -> None:
    """Write the finished runs of a folder into Prefect's database there, in a child process.

    Raises
    ------
    UserError
        If the database cannot be written.
    """
    ended = subprocess.run(
        child_command(__name__, str(output)),
        env={**os.environ, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    if ended.returncode != 0:
        raise UserError(
            "Prefect's database",
            found=f"noted runs that could not be written to {output / 'prefect.db'}",
            expected="a database of this version of Prefect that nobody else locks",
            hint="end other programs that use it; or move it away: the noted runs stay",
        )


async def write_runs(runs: list[NotedRun]) -> int:
    """Write finished runs into the database of Prefect's settings; return how many were new."""
    from prefect.server.database import provide_database_interface

    database = provide_database_interface()
    await database.create_db()
    written = 0
    for tree in _command_trees(runs):
        async with database.session_context(begin_transaction=True) as session:
            known = await _models().flow_runs.read_flow_run(session, UUID(tree[0].id))
            if known is not None or tree[0].state == "RUNNING":
                continue
            for number, run in enumerate(tree):
                await _write_run(session, run, by_id={r.id: r for r in tree}, number=number)
            written += len(tree)
    return written


def _models() -> Any:
    """Prefect's functions on its tables; their decorators hide their types from mypy."""
    from prefect.server import models

    return models


def _command_trees(runs: list[NotedRun]) -> list[list[NotedRun]]:
    """The runs of each command: its flow, then everything that it called."""
    trees: list[list[NotedRun]] = []
    for run in runs:
        if run.parent is None:
            trees.append([])
        trees[-1].append(run)
    return trees


async def _write_run(
    session: AsyncSession, run: NotedRun, *, by_id: dict[str, NotedRun], number: int
) -> None:
    """Write one run with its states, moments and artifacts."""
    from prefect.server.schemas import core

    models = _models()
    parent = _enclosing_flow(run, by_id)
    if run.kind == "task":
        task_run = core.TaskRun(
            id=UUID(run.id),
            name=run.name,
            flow_run_id=parent,
            task_key=run.name,
            dynamic_key=str(number),
        )
        await models.task_runs.create_task_run(session, task_run)
        for state in _states(run):
            await models.task_runs.set_task_run_state(session, UUID(run.id), state, force=True)
    else:
        dataset = dataset_name(Path(str(run.parameters.get("output", "."))))
        flow = await models.flows.create_flow(session, core.Flow(name=run.name))
        flow_run = core.FlowRun(
            id=UUID(run.id),
            flow_id=flow.id,
            name=f"{run.name} {dataset} {run.started:%Y-%m-%d %H:%M}",
            parameters=run.parameters,
            tags=["stagecast"],
        )
        written = await models.flow_runs.create_flow_run(session, flow_run)
        for state in _states(run):
            await models.flow_runs.set_flow_run_state(session, UUID(run.id), state, force=True)
        # Linked last: Prefect would end the call at the present moment, not when the flow ended.
        written.parent_task_run_id = await _call_of_flow(session, run, parent, number)
        await session.flush()
    for artifact in run.artifacts:
        shown = {name: artifact[name] for name in ("type", "key", "data", "description")}
        shown["flow_run_id"] = run.id if run.kind == "flow" else parent
        shown["task_run_id"] = run.id if run.kind == "task" else None
        await models.artifacts.create_artifact(session, core.Artifact.model_validate(shown))


def _enclosing_flow(run: NotedRun, by_id: dict[str, NotedRun]) -> UUID | None:
    """The flow run that called a run, directly or through a task."""
    caller = by_id.get(run.parent or "")
    while caller is not None and caller.kind == "task":
        caller = by_id.get(caller.parent or "")
    return None if caller is None else UUID(caller.id)


async def _call_of_flow(
    session: AsyncSession, run: NotedRun, parent: UUID | None, number: int
) -> UUID | None:
    """The task run that stands for a flow in the flow that calls it, as Prefect notes it."""
    from prefect.server.schemas import core

    models = _models()
    if parent is None:
        return None
    call = core.TaskRun(
        name=run.name, flow_run_id=parent, task_key=f"flow {run.name}", dynamic_key=str(number)
    )
    written = await models.task_runs.create_task_run(session, call)
    for state in _states(run):
        await models.task_runs.set_task_run_state(session, written.id, state, force=True)
    return UUID(str(written.id))


def _states(run: NotedRun) -> list[State]:
    """Running since its start, then its last state."""
    from prefect.server.schemas.states import State, StateType

    moments: list[tuple[str, Any, str | None]] = [("RUNNING", run.started, None)]
    if run.ended is not None:
        moments.append((run.state, run.ended, run.message))
    return [
        State(type=StateType(state), name=state.capitalize(), timestamp=at, message=message)
        for state, at, message in moments
    ]


if __name__ == "__main__":
    import asyncio

    asyncio.run(write_runs(noted_runs(Path(sys.argv[1]))))
