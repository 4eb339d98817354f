from __future__ import annotations

import pytest

from models.registry import tracking


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """A tracking store of its own in a folder with awkward signs; made once, it takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return tracking.open_tracking(tmp_path_factory.mktemp("out put+1 %20é"))
