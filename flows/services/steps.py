"""Decorators for flows and tasks: Prefect's own if a server is named, else noted and called.

`prefect` is imported only if a step runs in Prefect, because its import takes seconds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

from flows.services.flow_history import Kind, noted
from flows.services.prefect_artifacts import in_a_run

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
        with noted(self.kind, self.name, parameters):
            return self.fn(*args, **kwargs)

    @cached_property
    def in_prefect(self) -> Callable[P, R]:
        """Prefect's flow or task of the function."""
        from prefect import flow, task

        from flows.services.prefect_names import run_name

        step: Any = task(name=self.name, retries=0)
        if self.kind == "flow":
            step = flow(name=self.name, flow_run_name=run_name)
        in_prefect: Callable[P, R] = step(self.fn)
        return in_prefect


def flow(*, name: str) -> Callable[[Callable[P, R]], Step[P, R]]:
    """Make a function a flow."""
    return lambda fn: Step(fn, kind="flow", name=name)


def task(*, name: str) -> Callable[[Callable[P, R]], Step[P, R]]:
    """Make a function a task of the flow that calls it."""
    return lambda fn: Step(fn, kind="task", name=name)
