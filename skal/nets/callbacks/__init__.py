"""Callbacks that record training for later queries and for inspecting labels."""

from skal.nets.callbacks.forgetting import ForgettingEvents
from skal.nets.callbacks.snapshots import WeightSnapshots

__all__ = ["ForgettingEvents", "WeightSnapshots"]
