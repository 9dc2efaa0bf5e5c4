"""
What every strategy picks
=========================

For each strategy, a plot shows the batch of ten rows that it picks, with the same model
and the same labeled rows.
"""

# %%
# Rows have two columns, and one region of the pool is dense.  For classification, the
# upper right corner is one class.  The model is a net with dropout that stores its
# weights after each epoch, so that it suits all strategies.  Large dots are labeled
# rows, small dots the pool, crosses the picks, and colors show the predicted
# probability.

import matplotlib.pyplot as plt
import numpy as np

from skal import ActiveLearner, NetClassifier, NetRegressor
from skal.nets import LossPredictionClassifier, WeightSnapshots
from skal.posteriors import MCDropout
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
    PredictiveVariance,
    Prefilter,
    ProbCover,
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

rng = np.random.default_rng(0)
pool = rng.uniform(-1, 1, size=(300, 2))
pool = np.concatenate([pool, rng.normal([0.5, 0.4], 0.08, size=(150, 2))])
X = rng.uniform(-1, 1, size=(16, 2))
corner = (X.min(axis=1) > 0.1).astype(int)
settings = {
    "module__hidden_sizes": (32, 32),
    "module__dropout": 0.1,
    "max_epochs": 100,
    "random_state": 0,
    "callbacks": [WeightSnapshots()],
}
classifier = ActiveLearner(NetClassifier(**settings), Margin(), X, corner)
grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 40)] * 2), axis=-1)


def show(learner, strategies, y=corner, cmap="RdBu"):
    """Draw the picks of each strategy."""
    rows = -(-len(strategies) // 4)
    size = (9, 2.4 * rows)
    _, axes = plt.subplots(rows, 4, figsize=size, layout="constrained")
    has_classes = hasattr(learner, "predict_proba")
    predict = learner.predict_proba if has_classes else learner.predict
    field = predict(grid.reshape(-1, 2).astype("float32"))
    field = (field[:, 1] if has_classes else field).reshape(40, 40)
    for ax in axes.flat[len(strategies) :]:
        ax.axis("off")
    for ax, strategy in zip(axes.flat, strategies, strict=False):
        picked = strategy.set_params(random_state=0).select(learner, pool, 10).indices
        ax.contourf(grid[..., 0], grid[..., 1], field, 12, cmap=cmap, alpha=0.5)
        ax.scatter(*pool.T, s=2, color="0.5")
        ax.scatter(*X.T, c=y, cmap=cmap, s=35, edgecolor="k")
        ax.scatter(*pool[picked].T, marker="x", s=45, color="k")
        ax.set(xticks=[], yticks=[])
        ax.set_title(type(strategy).__name__, fontsize=10)


# %%
# Rows alone
# ----------
# These strategies compare rows in a space of the learner.
# :class:`~skal.strategies.MaxDist`, :class:`~skal.strategies.KMeansPP`,
# :class:`~skal.strategies.LCMD` and :class:`~skal.strategies.BAIT` read the gradients
# of the net, which differ most at the boundary.  :class:`~skal.strategies.CoreSet`
# covers the features of the net; :class:`~skal.strategies.TypiClust`,
# :class:`~skal.strategies.ProbCover`, :class:`~skal.strategies.MaxHerding` and
# :class:`~skal.strategies.KMedoids` also look for rows that are similar to many others.

strategies = [Random(), CoreSet(), MaxDist(), KMeansPP(), LCMD(), BAIT()]
strategies += [TypiClust(), ProbCover(), MaxHerding(), KMedoids(), VAAL()]
show(classifier, strategies)

# %%
# Probabilities
# -------------
# These strategies pick the rows nearest to the boundary, which are similar to each
# other.  For two classes, all three rank the rows in the same order.

show(classifier, [Margin(), Entropy(), LeastConfident()])

# %%
# Several plausible models
# ------------------------
# Here, the models are 20 draws of dropout, and for
# :class:`~skal.strategies.LabelDispersion` the epochs of the training.  The models
# disagree near the boundary, where there are no labels.
# :class:`~skal.strategies.PowerBALD` draws rows at random, and
# :class:`~skal.strategies.SuggestiveAnnotation` picks rows that represent the pool, so
# that their picks are less similar.

dropout = MCDropout(20)
strategies = [BALD(dropout), PowerBALD(dropout), BatchBALD(dropout), EPIG(dropout)]
strategies += [BatchEPIG(dropout), ConsensusEntropy(dropout), VoteEntropy(dropout)]
strategies += [VariationRatio(dropout), MeanStd(dropout), LabelDispersion()]
show(classifier, [*strategies, SuggestiveAnnotation(dropout)])

# %%
# Nets
# ----
# These strategies use gradients, features or weights of a net, or train its module.
# :class:`~skal.strategies.LossPrediction` needs a net that learned to predict its loss.

strategies = [BADGE(), LDM(), LDMSeeding(), NoiseStability(), EGL(), CAL(), MAL()]
show(classifier, strategies)
net = LossPredictionClassifier(**settings)
show(ActiveLearner(net, Margin(), X, corner), [LossPrediction()])

# %%
# Strategies that use others
# --------------------------
# These strategies make a batch more diverse, draw it at random by scores, restrict the
# pool, or combine two strategies.
# All use :class:`~skal.strategies.Margin` here; :class:`~skal.strategies.Prefilter` and
# :class:`~skal.strategies.Alternate` also use :class:`~skal.strategies.LCMD`, and
# :class:`~skal.strategies.Mixture` draws half of the rows at random.  For
# :class:`~skal.strategies.PerCost`, labels on the right cost four times as much.

costs = np.where(pool[:, 0] > 0.3, 4.0, 1.0)
strategies = [ClusterMargin(Margin()), UHerding(Margin()), Stochastic(Margin())]
strategies += [DiverseMiniBatch(Margin()), InformationDensity(Margin())]
strategies += [Prefilter(LCMD(), by=Margin()), PerCost(Margin(), costs)]
strategies += [Mixture(Margin(), Random(), share=0.5), Alternate(Margin(), LCMD())]
strategies += [
    Subsample(Margin(), 100),
    Distinct(Margin()),
    ViaProxy(strategy=Margin()),
]
show(classifier, strategies)

# %%
# Regression
# ----------
# A regressor has no decision boundary.  These strategies are for regression only; most
# of those above are for both tasks.  Colors show the prediction.

target = np.sin(3 * X[:, 0]) + X[:, 1] ** 2
regressor = ActiveLearner(NetRegressor(**settings), LCMD(), X, target)
strategies = [FrankWolfe(), MaxDet(), MaxDiag(), GreedySampling(), WiGS(), TESSAR()]
strategies += [PredictiveVariance(dropout), VariationOfPrediction(), EMCM(dropout)]
show(regressor, strategies, y=target, cmap="viridis")
