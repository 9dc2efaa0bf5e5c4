"""What every strategy picks on small problems, held fixed: see picks.json.

A pick that changes is a change of behavior, wanted or not.  Seeds are chosen such that
rounding, as of another processor or number of threads, does not change any.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner, Committee, CommitteeRegressor
from skal.nets import (
    MLP,
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    LossPredictionClassifier,
    LossPredictionRegressor,
    NetClassifier,
    NetRegressor,
    WeightSnapshots,
)
from skal.nets.bayesian import BayesianMLP
from skal.posteriors import (
    BayesWeights,
    LastLayerLaplace,
    MCDropout,
    Members,
    Snapshots,
    WeightNoise,
)
from skal.strategies import (
    BADGE,
    BAIT,
    BALD,
    CAL,
    EGL,
    EMCM,
    EPIG,
    LCMD,
    LDM,
    MAL,
    TESSAR,
    VAAL,
    Alternate,
    BatchBALD,
    BatchEPIG,
    ClusterMargin,
    ConsensusEntropy,
    CoreSet,
    Distinct,
    DiverseMiniBatch,
    Entropy,
    FrankWolfe,
    GreedySampling,
    InformationDensity,
    KLDivergence,
    KMeansPP,
    KMedoids,
    LabelDispersion,
    LDMSeeding,
    LeastConfident,
    LossPrediction,
    Margin,
    MaxDet,
    MaxDiag,
    MaxDist,
    MaxHerding,
    MeanStd,
    Mixture,
    NoiseStability,
    PerCost,
    PowerBALD,
    PredictiveEntropy,
    PredictiveVariance,
    Prefilter,
    ProbCover,
    QBCVariance,
    QueryStrategy,
    Random,
    Stochastic,
    Subsample,
    SuggestiveAnnotation,
    TypiClust,
    UHerding,
    VariationOfPrediction,
    VariationRatio,
    ViaProxy,
    VoteEntropy,
    WiGS,
)
from tests.models import cases

PICKS: dict[str, list[int]] = json.loads(
    Path(__file__).with_name("picks.json").read_text()
)
N_LABELED, N_POOL, N_PICKS = 40, 120, 6

# -- problems -----------------------------------------------------------------------


def net(cls: Any, seed: int = 0, **parameters: Any) -> Any:
    """A tiny net with dropout and snapshots."""
    settings = {
        "module": MLP,
        "optimizer": torch.optim.Adam,
        "module__hidden_sizes": (8, 6),
        "module__dropout": 0.2,
        "max_epochs": 5,
        "batch_size": 16,
        "lr": 0.02,
        "callbacks": [WeightSnapshots()],
        "random_state": seed,
    }
    return cls(**{**settings, **parameters})


def bayesian(cls: Any) -> Any:
    """A tiny net of Bayesian layers."""
    return cls(
        BayesianMLP,
        device="cpu",  # layers draw from the global generator, another on a GPU
        optimizer=torch.optim.Adam,
        module__hidden_sizes=(8,),
        max_epochs=5,
        batch_size=16,
        lr=0.02,
        random_state=0,
    )


def ensemble(cls: Any, inner: Any) -> Any:
    return cls(net(inner), n_estimators=3, random_state=7)


def scaled(inner: Any) -> Any:
    """Rows and targets are scaled around the net."""
    model = make_pipeline(StandardScaler(), inner)
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def committee(cls: Any, inner: Any) -> Any:
    members = [make_pipeline(StandardScaler(), net(inner, seed)) for seed in (2, 7, 8)]
    return cls([ActiveLearner(member) for member in members])


#: What asks, by the name of its problem: a learner without rows, or an estimator.
LEARNERS: dict[str, Callable[[], Any]] = {
    "classification": lambda: ActiveLearner(net(NetClassifier, 3)),
    "regression": lambda: ActiveLearner(scaled(net(NetRegressor, 6))),
    "two targets": lambda: ActiveLearner(net(NetRegressor, 6)),
    "committee": lambda: committee(Committee, NetClassifier),
    "committee of regressors": lambda: committee(CommitteeRegressor, NetRegressor),
    "classifier without labels": lambda: net(NetClassifier, 8),
    "regressor without labels": lambda: scaled(net(NetRegressor, 3)),
    "deep ensemble": lambda: ActiveLearner(
        ensemble(DeepEnsembleClassifier, NetClassifier)
    ),
    "deep ensemble of regressors": lambda: ActiveLearner(
        scaled(ensemble(DeepEnsembleRegressor, NetRegressor))
    ),
    "Bayesian classifier": lambda: ActiveLearner(bayesian(NetClassifier)),
    "Bayesian regressor": lambda: ActiveLearner(scaled(bayesian(NetRegressor))),
    "loss of a classifier": lambda: ActiveLearner(net(LossPredictionClassifier, 3)),
    "loss of a regressor": lambda: ActiveLearner(
        scaled(net(LossPredictionRegressor, 3))
    ),
}

CLASSIFIERS = {
    "classification",
    "committee",
    "classifier without labels",
    "deep ensemble",
    "Bayesian classifier",
    "loss of a classifier",
}


def rows(seed: int, m: int) -> np.ndarray:
    """Rows in four columns of different scales, in five uneven heaps."""
    rng = np.random.default_rng(seed)
    heaps = rng.choice(5, m, p=[0.4, 0.25, 0.15, 0.1, 0.1])
    middles = np.random.default_rng(9).normal(scale=1.5, size=(5, 4))
    return (middles[heaps] + rng.normal(size=(m, 4))) * [1.0, 0.5, 2.0, 1.0]


def labels(problem: str, X: np.ndarray) -> np.ndarray:
    first = X[:, 0] + 0.2 * X[:, 2] ** 2
    if problem in CLASSIFIERS:
        return np.array(["low", "mid", "top"])[np.digitize(first, [0.0, 1.5])]
    if problem == "two targets":
        return np.column_stack([first, np.sin(X[:, 1]) - X[:, 3]])
    return first


@pytest.fixture(scope="session")
def learner() -> Callable[[str], Any]:
    """Gives the fitted learner of a problem, always the same one."""
    fitted: dict[str, Any] = {}

    def give(problem: str) -> Any:
        if problem not in fitted:
            X = rows(1, N_LABELED)
            fitted[problem] = LEARNERS[problem]().fit(X, labels(problem, X))
        return fitted[problem]

    return give


# -- strategies ---------------------------------------------------------------------


def own(access: Any, rows: Any) -> Any:
    """A kernel of one's own: every second feature, three times as far apart."""
    return 3 * access.features(rows)[:, ::2]


def cost(rows: Any) -> Any:
    """Price of a label that rises with the third column."""
    return np.exp(rows[:, 2] / 4)


Entries = dict[str, Callable[[], QueryStrategy]]

# Everything that may be renamed stands from here to TABLE.  Names say in words what
# is set, so that picks keep theirs.

#: Each strategy with its defaults, but seeded, and quick where it would be slow.
FOR_ANY: Entries = {
    "Alternate": lambda: Alternate(random_state=0),
    "BAIT": lambda: BAIT(random_state=0),
    "BALD": lambda: BALD(random_state=0),
    "BatchBALD": lambda: BatchBALD(n_configurations=500, random_state=0),
    "BatchEPIG": lambda: BatchEPIG(random_state=0),
    "ClusterMargin": lambda: ClusterMargin(random_state=0),
    "CoreSet": lambda: CoreSet(),
    "DiverseMiniBatch": lambda: DiverseMiniBatch(random_state=0),
    "EPIG": lambda: EPIG(random_state=0),
    "InformationDensity": lambda: InformationDensity(random_state=0),
    "KMeansPP": lambda: KMeansPP(random_state=0),
    "LCMD": lambda: LCMD(random_state=0),
    "MaxDist": lambda: MaxDist(random_state=0),
    "Mixture": lambda: Mixture(random_state=6),
    "NoiseStability": lambda: NoiseStability(random_state=0),
    "PerCost": lambda: PerCost(costs=cost, random_state=0),
    "PowerBALD": lambda: PowerBALD(random_state=0),
    "Prefilter": lambda: Prefilter(factor=4, random_state=0),
    "ProbCover": lambda: ProbCover(random_state=0),
    "Random": lambda: Random(random_state=0),
    "Distinct": lambda: Distinct(random_state=0),
    "Stochastic": lambda: Stochastic(random_state=0),
    "Subsample": lambda: Subsample(max_rows=60, random_state=0),
    "SuggestiveAnnotation": lambda: SuggestiveAnnotation(random_state=0),
    "TypiClust": lambda: TypiClust(random_state=3),
    "MaxHerding": lambda: MaxHerding(),
    "KMedoids": lambda: KMedoids(),
    "UHerding": lambda: UHerding(random_state=0),
    "VAAL": lambda: VAAL(max_epochs=3, random_state=0),
    "ViaProxy": lambda: ViaProxy(random_state=0),
}

FOR_CLASSIFIERS: Entries = {
    "BADGE": lambda: BADGE(random_state=0),
    "CAL": lambda: CAL(),
    "ConsensusEntropy": lambda: ConsensusEntropy(random_state=0),
    "EGL": lambda: EGL(),
    "Entropy": lambda: Entropy(),
    "KLDivergence": lambda: KLDivergence(random_state=0),
    "LDM": lambda: LDM(random_state=0),
    "LDMSeeding": lambda: LDMSeeding(random_state=0),
    "LabelDispersion": lambda: LabelDispersion(random_state=0),
    "LeastConfident": lambda: LeastConfident(),
    "MAL": lambda: MAL(max_epochs=3, random_state=0),
    "Margin": lambda: Margin(),
    "MeanStd": lambda: MeanStd(random_state=0),
    "PredictiveEntropy": lambda: PredictiveEntropy(random_state=0),
    "VariationRatio": lambda: VariationRatio(random_state=0),
    "VoteEntropy": lambda: VoteEntropy(random_state=0),
}

FOR_REGRESSORS: Entries = {
    "EMCM": lambda: EMCM(random_state=0),
    "FrankWolfe": lambda: FrankWolfe(random_state=0),
    "GreedySampling": lambda: GreedySampling(),
    "NoiseStability[authors' program]": lambda: NoiseStability(
        outputs="features", normalize=True, centers="origin", random_state=0
    ),
    "MaxDet": lambda: MaxDet(random_state=0),
    "MaxDiag": lambda: MaxDiag(random_state=0),
    "PredictiveVariance": lambda: PredictiveVariance(random_state=0),
    "QBCVariance": lambda: QBCVariance(random_state=0),
    "TESSAR": lambda: TESSAR(random_state=0),
    "VariationOfPrediction": lambda: VariationOfPrediction(random_state=0),
    "WiGS": lambda: WiGS(),
}

#: Spaces and other settings that are not the default, for any task.
SETTINGS: Entries = {
    # batches in a space of the net
    "LCMD[exact gradients]": lambda: LCMD("gradients", None),
    "LCMD[last layer]": lambda: LCMD("last_layer"),
    "LCMD[features]": lambda: LCMD("features"),
    "LCMD[inputs]": lambda: LCMD("inputs"),
    "LCMD[own space]": lambda: LCMD(own),
    "LCMD[short sketch]": lambda: LCMD(n_components=16, random_state=1),
    "LCMD[labeled rows are no centers]": lambda: LCMD(mode="P", random_state=0),
    "LCMD[after the labels]": lambda: LCMD(
        condition_on_labels=True, noise_std=0.1, random_state=0
    ),
    "LCMD[after the labels, last layer, no centers]": lambda: LCMD(
        "last_layer", mode="P", condition_on_labels=True
    ),
    "LCMD[features of the layer before]": lambda: LCMD("features", head="body.3"),
    "KMeansPP[exact gradients]": lambda: KMeansPP("gradients", None, random_state=1),
    "KMeansPP[last layer]": lambda: KMeansPP("last_layer", random_state=2),
    "KMeansPP[features]": lambda: KMeansPP("features", random_state=3),
    "KMeansPP[inputs]": lambda: KMeansPP("inputs", random_state=4),
    "KMeansPP[own space]": lambda: KMeansPP(own, random_state=5),
    "KMeansPP[labeled rows are no centers]": lambda: KMeansPP(mode="P", random_state=6),
    "KMeansPP[after the labels]": lambda: KMeansPP(
        condition_on_labels="auto", random_state=7
    ),
    "MaxDist[exact gradients]": lambda: MaxDist("gradients", None),
    "MaxDist[last layer]": lambda: MaxDist("last_layer"),
    "MaxDist[features]": lambda: MaxDist("features"),
    "MaxDist[inputs]": lambda: MaxDist("inputs"),
    "MaxDist[own space]": lambda: MaxDist(own),
    "MaxDist[labeled rows are no centers]": lambda: MaxDist("last_layer", mode="P"),
    "MaxDist[after the labels]": lambda: MaxDist(
        condition_on_labels=True, random_state=0
    ),
    "CoreSet[exact gradients]": lambda: CoreSet(space="gradients", n_components=None),
    "CoreSet[projected gradients]": lambda: CoreSet(space="gradients", random_state=0),
    "CoreSet[last layer]": lambda: CoreSet(space="last_layer"),
    "CoreSet[inputs]": lambda: CoreSet(space="inputs"),
    "BAIT[last layer]": lambda: BAIT("last_layer"),
    "BAIT[features]": lambda: BAIT("features"),
    "BAIT[inputs]": lambda: BAIT("inputs"),
    "BAIT[own space]": lambda: BAIT(own),
    "BAIT[short sketch]": lambda: BAIT(n_components=16, random_state=1),
    "BAIT[without the labels]": lambda: BAIT("last_layer", condition_on_labels=False),
    "BAIT[there and back, inputs]": lambda: BAIT("inputs", backward=True),
    "BAIT[there and back, without the labels]": lambda: BAIT(
        "last_layer", condition_on_labels=False, backward=True
    ),
    # rows as points
    "TypiClust[inputs]": lambda: TypiClust(space="inputs", random_state=1),
    "TypiClust[few clusters and neighbors]": lambda: TypiClust(
        5, n_clusters=8, random_state=2
    ),
    "TypiClust[at most so many clusters]": lambda: TypiClust(
        max_clusters=12, space="features", random_state=3
    ),
    "ProbCover[inputs]": lambda: ProbCover(space="inputs", random_state=1),
    "ProbCover[given radius]": lambda: ProbCover(1.1, space="inputs", random_state=3),
    "ProbCover[less pure]": lambda: ProbCover(
        purity=0.8, n_clusters=6, n_reference=50, random_state=2
    ),
    "KMedoids[inputs]": lambda: KMedoids(space="inputs"),
    "MaxHerding[narrow, inputs]": lambda: MaxHerding(0.5, space="inputs"),
    "UHerding[wide, of BALD]": lambda: UHerding(
        BALD(MCDropout(10)), 2.0, space="inputs", random_state=1
    ),
    # noise on the weights
    "NoiseStability[all weights together]": lambda: NoiseStability(
        10, 0.01, scaling="global", random_state=1
    ),
    "NoiseStability[features]": lambda: NoiseStability(
        outputs="features", normalize=True, centers="origin", random_state=2
    ),
    "NoiseStability[predictions]": lambda: NoiseStability(
        outputs="predictions", normalize=True, centers="origin", random_state=3
    ),
    "NoiseStability[not normalized]": lambda: NoiseStability(
        normalize=False, random_state=4
    ),
    # plausible models
    "BALD[dropout]": lambda: BALD(MCDropout(10), random_state=1),
    "BALD[snapshots]": lambda: BALD(Snapshots(3)),
    "BALD[noise on the weights]": lambda: BALD(WeightNoise(10), random_state=1),
    "BALD[noise on all weights together]": lambda: BALD(
        WeightNoise(10, 0.2, "global"), random_state=2
    ),
    "BALD[Laplace]": lambda: BALD(LastLayerLaplace(10), random_state=1),
    "BALD[Laplace, wide prior]": lambda: BALD(LastLayerLaplace(10, 0.1), 0.2, 2),
    "BatchBALD[dropout]": lambda: BatchBALD(MCDropout(30), 500, random_state=1),
    "BatchBALD[exact]": lambda: BatchBALD(MCDropout(30), 3**6, random_state=2),
    "BatchBALD[noisy labels]": lambda: BatchBALD(
        MCDropout(10), 200, noise_variance=0.5, random_state=3
    ),
    "PowerBALD[greater power]": lambda: PowerBALD(MCDropout(10), 0.3, 3, 1),
    "EPIG[few targets]": lambda: EPIG(MCDropout(10), n_targets=20, random_state=1),
    "EPIG[given targets]": lambda: EPIG(
        MCDropout(10), rows(3, 15), noise_variance=0.2, random_state=2
    ),
    "SuggestiveAnnotation[inputs]": lambda: SuggestiveAnnotation(
        MCDropout(10), 4, space="inputs", random_state=1
    ),
    # strategies that hold others
    "Alternate[every third]": lambda: Alternate(
        CoreSet(), Random(), every=3, random_state=1
    ),
    "Mixture[half]": lambda: Mixture(CoreSet(), Random(), share=0.5, random_state=1),
    "Prefilter[LCMD of the variance]": lambda: Prefilter(
        LCMD(), BALD(MCDropout(10)), factor=5, random_state=1
    ),
    "Stochastic[softmax]": lambda: Stochastic(
        BALD(MCDropout(10)), 20.0, "softmax", random_state=1
    ),
    "Stochastic[softrank]": lambda: Stochastic(
        BALD(MCDropout(10)), 2.0, "softrank", random_state=2
    ),
    "Subsample[share of the rows]": lambda: Subsample(LCMD(), 0.5, random_state=1),
    "ClusterMargin[up to a distance, inputs]": lambda: ClusterMargin(
        BALD(MCDropout(10)), 5, distance_threshold=2.0, space="inputs", random_state=1
    ),
    "DiverseMiniBatch[inputs]": lambda: DiverseMiniBatch(
        BALD(MCDropout(10)), 3, space="inputs", random_state=1
    ),
    "InformationDensity[nearness in the inputs]": lambda: InformationDensity(
        beta=2.0, metric="euclidean", n_reference=50, space="inputs", random_state=1
    ),
    "InformationDensity[all rows]": lambda: InformationDensity(
        BALD(MCDropout(10)), metric="euclidean", n_reference=None, random_state=2
    ),
    "VAAL[small]": lambda: VAAL(
        latent_dim=3, beta=0.5, max_epochs=2, batch_size=16, lr=1e-3, random_state=1
    ),
}

CLASSIFIER_SETTINGS: Entries = {
    "BAIT[strong prior]": lambda: BAIT("last_layer", prior=20.0),
    "CAL[few neighbors]": lambda: CAL(3),
    "EGL[all layers]": lambda: EGL("gradients"),
    "LDM[few references]": lambda: LDM(n_reference=50, random_state=1),
    "LDM[few scales]": lambda: LDM(
        n_unchanged=3, sigmas=[0.01, 0.1, 1], random_state=2
    ),
    "LDM[row by row]": lambda: LDM(60, 5, stop="row", random_state=3),
    "LDM[whole pool]": lambda: LDM(60, 5, stop="pool", random_state=4),
    "LDMSeeding[quantile of the paper]": lambda: LDMSeeding(
        quantile="paper", random_state=1
    ),
    "LDMSeeding[row by row]": lambda: LDMSeeding(60, 5, stop="row", random_state=2),
    "MAL[weights]": lambda: MAL(
        0.2, 0.5, 0.3, max_epochs=2, batch_size=16, lr=1e-3, random_state=1
    ),
    "MeanStd[dropout]": lambda: MeanStd(MCDropout(10), random_state=1),
    "ConsensusEntropy[Laplace]": lambda: ConsensusEntropy(
        LastLayerLaplace(10), random_state=1
    ),
    "Prefilter[BADGE of the margin]": lambda: Prefilter(
        BADGE(), Margin(), factor=5, random_state=1
    ),
    "ViaProxy[BADGE]": lambda: ViaProxy(net(NetClassifier, 5), BADGE(), random_state=1),
}

REGRESSOR_SETTINGS: Entries = {
    "MaxDet[last layer]": lambda: MaxDet("last_layer"),
    "MaxDet[features]": lambda: MaxDet("features"),
    "MaxDet[inputs]": lambda: MaxDet("inputs"),
    "MaxDet[own space]": lambda: MaxDet(own),
    "MaxDet[short sketch]": lambda: MaxDet(n_components=16, random_state=1),
    "MaxDet[without the labels]": lambda: MaxDet(
        "last_layer", condition_on_labels=False, noise_std=0.1
    ),
    "MaxDiag[last layer]": lambda: MaxDiag("last_layer"),
    "MaxDiag[features]": lambda: MaxDiag("features"),
    "MaxDiag[inputs]": lambda: MaxDiag("inputs"),
    "MaxDiag[own space]": lambda: MaxDiag(own),
    "MaxDiag[without the labels]": lambda: MaxDiag(
        condition_on_labels=False, random_state=1
    ),
    "FrankWolfe[last layer]": lambda: FrankWolfe("last_layer"),
    "FrankWolfe[features]": lambda: FrankWolfe("features"),
    "FrankWolfe[inputs]": lambda: FrankWolfe("inputs"),
    "FrankWolfe[own space]": lambda: FrankWolfe(own),
    "FrankWolfe[without the labels]": lambda: FrankWolfe(
        "last_layer", condition_on_labels=False
    ),
    "BAIT[more noise]": lambda: BAIT("last_layer", noise_std=0.3),
    "BAIT[there and back, more noise]": lambda: BAIT(
        "last_layer", noise_std=0.3, backward=True
    ),
    "EMCM[all layers]": lambda: EMCM(MCDropout(10), "gradients", random_state=1),
    "NoiseStability[features, all weights together]": lambda: NoiseStability(
        10, 0.01, "global", "features", True, "origin", random_state=1
    ),
    "NoiseStability[features, not normalized]": lambda: NoiseStability(
        outputs="features", normalize=False, centers="origin", random_state=4
    ),
    "NoiseStability[clusters]": lambda: NoiseStability(
        selection="lcmd", random_state=5
    ),
    "GreedySampling[inputs]": lambda: GreedySampling("inputs"),
    "GreedySampling[outputs]": lambda: GreedySampling("outputs"),
    "WiGS[mostly outputs]": lambda: WiGS(0.2),
    "TESSAR[last layer]": lambda: TESSAR("last_layer", random_state=1),
    "TESSAR[inputs]": lambda: TESSAR("inputs", random_state=2),
    "TESSAR[projected gradients]": lambda: TESSAR("gradients", 32, random_state=3),
    "TESSAR[few moves]": lambda: TESSAR(
        sigmas=[0.05, 0.5], n_copies=3, n_reference=50, rank=4, random_state=4
    ),
    "PredictiveVariance[dropout]": lambda: PredictiveVariance(
        MCDropout(10), random_state=1
    ),
    "PredictiveVariance[snapshots]": lambda: PredictiveVariance(Snapshots(3)),
    "PredictiveVariance[noise on the weights]": lambda: PredictiveVariance(
        WeightNoise(10), random_state=1
    ),
    "PredictiveVariance[noise on all weights together]": lambda: PredictiveVariance(
        WeightNoise(10, 0.2, "global"), random_state=2
    ),
    "PredictiveVariance[Laplace]": lambda: PredictiveVariance(
        LastLayerLaplace(10), random_state=1
    ),
    "PredictiveVariance[largest of the targets]": lambda: PredictiveVariance(
        MCDropout(10), "max", random_state=2
    ),
    "ViaProxy[LCMD]": lambda: ViaProxy(net(NetRegressor, 5), LCMD(), random_state=1),
}

#: Where models are the members of a committee or of an ensemble.
MEMBERS: Entries = {"BALD[members]": lambda: BALD(Members())}

#: Where layers are Bayesian.
BAYESIAN: Entries = {
    "BALD": lambda: BALD(random_state=0),
    "BALD[Bayesian weights]": lambda: BALD(BayesWeights(10), random_state=1),
}

#: Where there are no labeled rows to be centers, or to learn from.
UNLABELED: Entries = {
    "BAIT": lambda: BAIT(random_state=0),
    "BAIT[last layer]": lambda: BAIT("last_layer"),
    "CoreSet": lambda: CoreSet(),
    "KMeansPP": lambda: KMeansPP(random_state=0),
    "LCMD": lambda: LCMD(random_state=0),
    "LCMD[exact gradients]": lambda: LCMD("gradients", None),
    "LCMD[features]": lambda: LCMD("features"),
    "LCMD[last layer]": lambda: LCMD("last_layer"),
    "MaxDist": lambda: MaxDist(random_state=0),
    "MaxHerding": lambda: MaxHerding(),
    "KMedoids": lambda: KMedoids(),
    "ProbCover": lambda: ProbCover(random_state=0),
    "TypiClust": lambda: TypiClust(random_state=3),
    "UHerding": lambda: UHerding(random_state=0),
}

#: What is asked of each problem.
TABLE: dict[str, Entries] = {
    "classification": {
        **FOR_ANY,
        **FOR_CLASSIFIERS,
        **SETTINGS,
        **CLASSIFIER_SETTINGS,
    },
    "regression": {**FOR_ANY, **FOR_REGRESSORS, **SETTINGS, **REGRESSOR_SETTINGS},
    "committee": {**FOR_ANY, **FOR_CLASSIFIERS, **MEMBERS},
    "committee of regressors": {**FOR_ANY, **FOR_REGRESSORS, **MEMBERS},
    "two targets": {**FOR_ANY, **FOR_REGRESSORS, **REGRESSOR_SETTINGS},
    "deep ensemble": {
        **MEMBERS,
        "LCMD": FOR_ANY["LCMD"],
        "BAIT[last layer]": SETTINGS["BAIT[last layer]"],
    },
    "deep ensemble of regressors": {
        **MEMBERS,
        "LCMD": FOR_ANY["LCMD"],
        "BAIT[last layer]": SETTINGS["BAIT[last layer]"],
        "QBCVariance": FOR_REGRESSORS["QBCVariance"],
    },
    "Bayesian classifier": BAYESIAN,
    "Bayesian regressor": {
        **BAYESIAN,
        "PredictiveVariance[Bayesian weights]": lambda: PredictiveVariance(
            BayesWeights(10), random_state=2
        ),
    },
    "classifier without labels": UNLABELED,
    "regressor without labels": {
        **UNLABELED,
        "FrankWolfe": FOR_REGRESSORS["FrankWolfe"],
        "GreedySampling": FOR_REGRESSORS["GreedySampling"],
        "WiGS": FOR_REGRESSORS["WiGS"],
        "MaxDet": FOR_REGRESSORS["MaxDet"],
        "MaxDiag": FOR_REGRESSORS["MaxDiag"],
        "TESSAR": FOR_REGRESSORS["TESSAR"],
    },
    "loss of a classifier": {"LossPrediction": lambda: LossPrediction()},
    "loss of a regressor": {"LossPrediction": lambda: LossPrediction()},
}

IDS = [f"{problem}/{name}" for problem, entries in TABLE.items() for name in entries]

# -- tests --------------------------------------------------------------------------


def picks(name: str, learner: Callable[[str], Any]) -> list[int]:
    """What the entry of this name picks."""
    problem, entry = name.split("/", 1)
    strategy = TABLE[problem][entry]()
    X = rows(2, N_POOL)
    return strategy.select(learner(problem), X, N_PICKS).indices.tolist()


def _with_mark(name):
    """Leave committees, and proxies that are fitted, out of the quick tests."""
    is_slow = name.startswith("committee") or name.endswith("ViaProxy")
    return pytest.param(name, marks=pytest.mark.slow if is_slow else ())


@pytest.mark.parametrize("name", [_with_mark(name) for name in IDS], ids=IDS)
def test_picks_are_those_recorded(name, learner):
    assert picks(name, learner) == PICKS[name]


def test_every_strategy_is_recorded_for_each_task():
    missing = {f"{task}/{cls.__name__}" for cls, task in cases()} - set(IDS)
    # This one asks nets of its own.
    assert missing == {f"{t}/LossPrediction" for t in ("classification", "regression")}


def test_nothing_is_recorded_that_is_not_asked():
    assert set(PICKS) == set(IDS)
