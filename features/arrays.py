"""The type of a numpy array whose element type is said in words where it matters."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
