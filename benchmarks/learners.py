"""Learners on tables with few labels: errors by the number of random labels."""

from __future__ import annotations

from benchmarks.sets import draw_table as draw

__all__ = ["draw"]
