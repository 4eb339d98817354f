"""Decorators for flows and tasks: Prefect's own if a server is named, else noted and called.

`prefect` is imported only if a step runs in Prefect, because its import takes seconds.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from flows.services.flow_history import Kind, noted, usual_seconds
from flows.services.prefect_artifacts import in_a_run
from flows.services.progress_bars import working

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

P = ParamSpec("P")
R = TypeVar("R")


class Step(Generic[P, R]):
    """A function that is a flow or a task.

    Attributes
    ----------
    fn
        The function itself; calling it is not noted anywhere.
    kind, name
        Flow or task, and its name in Prefect.
    """

    def __init__(self, fn: Callable[P, R], *, kind: Kind, name: str) -> None:
        """Wrap `fn`."""
        self.fn = fn
        self.kind: Kind = kind
        self.name = name
        update_wrapper(self, fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function: as a part of the running Prefect flow, else noted in the history."""
        if in_a_run():
            return self.in_prefect(*args, **kwargs)
        parameters: dict[str, Any] = {}
        if self.kind == "flow":
            parameters = inspect.signature(self.fn).bind(*args, **kwargs).arguments
        usual = _usual_seconds(str(args[0])).get(self.name) if args else None
        with noted(self.kind, self.name, parameters), working(self.name, usual):
            return self.fn(*args, **kwargs)

    @cached_property
    def in_prefect(self) -> Callable[P, R]:
        """Prefect's flow or task of the function."""
        from prefect import flow, task

        from flows.services.prefect_names import run_name, run_tags

        if self.kind == "task":
            in_task: Callable[P, R] = task(
                name=self.name, retry_condition_fn=_may_pass, **_retries()
            )(self.fn)
            return in_task
        in_flow: Callable[P, R] = flow(name=self.name, flow_run_name=run_name)(self.fn)

        def tagged(*args: P.args, **kwargs: P.kwargs) -> R:
            with run_tags(Path(str(args[0]))):
                return in_flow(*args, **kwargs)

        return tagged


@cache
def _usual_seconds(output: str) -> dict[str, float]:
    """Durations of the steps of earlier commands; read once per command."""
    return usual_seconds(Path(output))


def _retries() -> dict[str, Any]:
    """How often and after how many seconds Prefect tries a task again; its own settings go first.

    A flow has no retries: Prefect would begin all its tasks anew.
    """
    return {
        option: value
        for option, value in (("retries", 2), ("retry_delay_seconds", [60.0, 240.0]))
        if f"PREFECT_TASKS_DEFAULT_{option.upper()}" not in os.environ
    }


def _may_pass(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Tell Prefect to try again only where a server or database failed: what a user must fix stays.

    Prefect takes only a plain function.
    """
    from flows.services.system_errors import may_pass

    error = state.data
    return isinstance(error, BaseException) and may_pass(error)


def flow(*, name: str) -> Callable[[Callable[P, R]], Step[P, R]]:
    """Make a function a flow."""
    return lambda fn: Step(fn, kind="flow", name=name)


def task(*, name: str) -> Callable[[Callable[P, R]], Step[P, R]]:
    """Make a function a task of the flow that calls it."""
    return lambda fn: Step(fn, kind="task", name=name)
