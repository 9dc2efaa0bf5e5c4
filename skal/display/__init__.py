"""Pictures of queries and of models, in the style of scikit-learn's displays.

Those of whole campaigns are in `skal.simulation`.
"""

from skal.display.calibration import CalibrationDisplay
from skal.display.overlap import OverlapDisplay
from skal.display.picks import PicksDisplay, ScoreHistogramDisplay

__all__ = [
    "CalibrationDisplay",
    "OverlapDisplay",
    "PicksDisplay",
    "ScoreHistogramDisplay",
]
