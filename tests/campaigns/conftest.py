"""Makes the helper module beside the tests importable (pytest imports by file here)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
