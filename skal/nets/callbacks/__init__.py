"""Callbacks that keep what a query or a look at the labels needs of the training."""

from skal.nets.callbacks.forgetting import ForgettingEvents
from skal.nets.callbacks.snapshots import WeightSnapshots

__all__ = ["ForgettingEvents", "WeightSnapshots"]
