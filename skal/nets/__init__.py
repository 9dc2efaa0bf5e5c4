"""skorch nets that are estimators of scikit-learn."""

from skal.nets.callbacks import ForgettingEvents, WeightSnapshots
from skal.nets.classifier import NetClassifier
from skal.nets.ensembles import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    DiversityEncouragingEnsembleClassifier,
    DiversityEncouragingEnsembleRegressor,
    FoldEnsembleClassifier,
    FoldEnsembleRegressor,
    SnapshotEnsembleClassifier,
    SnapshotEnsembleRegressor,
    SplitHeadEnsembleClassifier,
    SplitHeadEnsembleRegressor,
)
from skal.nets.loss_prediction import (
    LossPredictionClassifier,
    LossPredictionRegressor,
)
from skal.nets.modules import MLP, TabularMLP
from skal.nets.regressor import NetRegressor

__all__ = [
    "MLP",
    "DeepEnsembleClassifier",
    "DeepEnsembleRegressor",
    "DiversityEncouragingEnsembleClassifier",
    "DiversityEncouragingEnsembleRegressor",
    "FoldEnsembleClassifier",
    "FoldEnsembleRegressor",
    "ForgettingEvents",
    "LossPredictionClassifier",
    "LossPredictionRegressor",
    "NetClassifier",
    "NetRegressor",
    "SnapshotEnsembleClassifier",
    "SnapshotEnsembleRegressor",
    "SplitHeadEnsembleClassifier",
    "SplitHeadEnsembleRegressor",
    "TabularMLP",
    "WeightSnapshots",
]
