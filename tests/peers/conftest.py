"""Comparisons with other programs; ``make test-peers`` runs them."""

from __future__ import annotations

import os

# A peer needs an environment of its own: it runs in a process, and by a name.
collect_ignore = ["bmdal_picks.py"]
if "BMDAL_PYTHON" not in os.environ:
    collect_ignore.append("test_bmdal_reg.py")
