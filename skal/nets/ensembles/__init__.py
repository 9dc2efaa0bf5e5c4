"""Ensembles of nets, as estimators of scikit-learn."""

from skal.nets.ensembles.deep import DeepEnsembleClassifier, DeepEnsembleRegressor
from skal.nets.ensembles.diversity import (
    DiversityEncouragingEnsembleClassifier,
    DiversityEncouragingEnsembleRegressor,
)
from skal.nets.ensembles.folds import (
    FoldEnsembleClassifier,
    FoldEnsembleRegressor,
)
from skal.nets.ensembles.snapshot import (
    SnapshotEnsembleClassifier,
    SnapshotEnsembleRegressor,
)
from skal.nets.ensembles.split_head import (
    SplitHeadEnsembleClassifier,
    SplitHeadEnsembleRegressor,
)

__all__ = [
    "DeepEnsembleClassifier",
    "DeepEnsembleRegressor",
    "DiversityEncouragingEnsembleClassifier",
    "DiversityEncouragingEnsembleRegressor",
    "FoldEnsembleClassifier",
    "FoldEnsembleRegressor",
    "SnapshotEnsembleClassifier",
    "SnapshotEnsembleRegressor",
    "SplitHeadEnsembleClassifier",
    "SplitHeadEnsembleRegressor",
]
