"""skorch nets that are estimators of scikit-learn."""

from skal.nets.classifier import NetClassifier
from skal.nets.modules import MLP
from skal.nets.regressor import NetRegressor

__all__ = ["MLP", "NetClassifier", "NetRegressor"]
