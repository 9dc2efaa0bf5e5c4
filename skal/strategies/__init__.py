"""Query strategies: which rows of a pool are worth a label."""

from skal.strategies.badge import BADGE
from skal.strategies.bald import BALD, BatchBALD, KLDivergence, PowerBALD
from skal.strategies.base import (
    QueryStrategy,
    ScoreStrategy,
    Selection,
    all_strategies,
)
from skal.strategies.cal import CAL
from skal.strategies.centers import LCMD, KMeansPP, MaxDist
from skal.strategies.cluster_margin import ClusterMargin
from skal.strategies.core_set import CoreSet
from skal.strategies.covariance import BAIT, FrankWolfe, MaxDet, MaxDiag
from skal.strategies.disagreement import (
    ConsensusEntropy,
    LabelDispersion,
    MeanStd,
    PredictiveEntropy,
    PredictiveVariance,
    QBCVariance,
    VariationOfPrediction,
    VariationRatio,
    VoteEntropy,
)
from skal.strategies.distinct import Distinct
from skal.strategies.diverse_mini_batch import DiverseMiniBatch
from skal.strategies.egl import EGL
from skal.strategies.emcm import EMCM
from skal.strategies.epig import EPIG, BatchEPIG
from skal.strategies.greedy_sampling import GreedySampling, WiGS
from skal.strategies.herding import MaxHerding, UHerding
from skal.strategies.information_density import InformationDensity
from skal.strategies.k_medoids import KMedoids
from skal.strategies.ldm import LDM, LDMSeeding
from skal.strategies.loss_prediction import LossPrediction
from skal.strategies.mal import MAL
from skal.strategies.noise_stability import NoiseStability
from skal.strategies.per_cost import PerCost
from skal.strategies.prob_cover import ProbCover
from skal.strategies.random import Random
from skal.strategies.recommended import recommended_strategy
from skal.strategies.stochastic import Stochastic
from skal.strategies.suggestive_annotation import SuggestiveAnnotation
from skal.strategies.suitable import suitable_strategies
from skal.strategies.tessar import TESSAR
from skal.strategies.typi_clust import TypiClust
from skal.strategies.uncertainty import Entropy, LeastConfident, Margin
from skal.strategies.vaal import VAAL
from skal.strategies.via_proxy import ViaProxy
from skal.strategies.wrapping import (
    Alternate,
    Mixture,
    Prefilter,
    Subsample,
    WrappingStrategy,
)

__all__ = [
    "BADGE",
    "BAIT",
    "BALD",
    "CAL",
    "EGL",
    "EMCM",
    "EPIG",
    "LCMD",
    "LDM",
    "MAL",
    "TESSAR",
    "VAAL",
    "Alternate",
    "BatchBALD",
    "BatchEPIG",
    "ClusterMargin",
    "ConsensusEntropy",
    "CoreSet",
    "Distinct",
    "DiverseMiniBatch",
    "Entropy",
    "FrankWolfe",
    "GreedySampling",
    "InformationDensity",
    "KLDivergence",
    "KMeansPP",
    "KMedoids",
    "LDMSeeding",
    "LabelDispersion",
    "LeastConfident",
    "LossPrediction",
    "Margin",
    "MaxDet",
    "MaxDiag",
    "MaxDist",
    "MaxHerding",
    "MeanStd",
    "Mixture",
    "NoiseStability",
    "PerCost",
    "PowerBALD",
    "PredictiveEntropy",
    "PredictiveVariance",
    "Prefilter",
    "ProbCover",
    "QBCVariance",
    "QueryStrategy",
    "Random",
    "ScoreStrategy",
    "Selection",
    "Stochastic",
    "Subsample",
    "SuggestiveAnnotation",
    "TypiClust",
    "UHerding",
    "VariationOfPrediction",
    "VariationRatio",
    "ViaProxy",
    "VoteEntropy",
    "WiGS",
    "WrappingStrategy",
    "all_strategies",
    "recommended_strategy",
    "suitable_strategies",
]


def __dir__() -> list[str]:
    return list(__all__)
