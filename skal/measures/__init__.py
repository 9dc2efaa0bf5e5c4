"""Pure functions from tensors to one score a row; higher is more wanted."""

from skal.measures.ldm import least_disagree_metric
from skal.measures.uncertainty import entropy, least_confidence, margin

__all__ = ["entropy", "least_confidence", "least_disagree_metric", "margin"]
