"""What papers claim for the strategies, and what the studies of skal found.

`docs.tables` writes the page "Which strategy" and the tables of strategies from it.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CLAIMS", "VERDICTS", "Claim"]

#: Verdicts, best first, and what they mean.
VERDICTS = {
    "reproduced": "the studies of skal show the same, as far as they go",
    "partly": "on some data or in some settings",
    "not": "the studies show the contrary, or no gain",
    "not studied": "no study of skal is about it",
}


class Claim(NamedTuple):
    """A claim and its fate.

    Attributes
    ----------
    claim : str
        In our words.
    verdict : str
        A key of `VERDICTS`.
    found : str
        What our studies show; where there are none, what to know before the use.
    results : tuple of str
        Names of files in ``benchmarks/results``.
    """

    claim: str
    verdict: str
    found: str
    results: tuple[str, ...] = ()


def _open(claim: str, found: str) -> Claim:
    return Claim(claim, "not studied", found)


CLAIMS = {
    "Alternate": _open(
        "Turns of an informative and a diverse strategy are robust.",
        "Worth what its two strategies are worth.",
    ),
    "BADGE": Claim(
        "As good as the better of uncertainty and diversity, for all batch sizes and "
        "nets.",
        "partly",
        "On five large tables of regression, where it is k-means++ on gradients, it "
        "gains 0.03 in log RMSE, less than LCMD.  For classification see the table "
        "above.",
        ("tabular",),
    ),
    "BAIT": Claim(
        "Better than BADGE for classification, and made for regression as well.",
        "partly",
        "Second best on small tables of regression with nets, better than random rows "
        "on 11 of 11, at four times the seconds of LCMD.  With inputs alone, as for "
        "ridge regression, it is no better than random rows.",
        ("tabular_small", "plain_regressors"),
    ),
    "BALD": Claim(
        "Mutual information with dropout needs far fewer labels than random images.",
        "partly",
        "With dropout or an ensemble, it gains 0.01 to 0.02 in accuracy on MNIST, "
        "0.01 or nothing on pendigits, and loses 0.03 to 0.04 on letter: below Margin "
        "everywhere.  With bagged logistic regressions, it gains nothing.",
        ("posteriors_worth", "tabular_classification"),
    ),
    "BatchBALD": Claim(
        "Better than the top rows of BALD, whose picks are alike.",
        "partly",
        "Better than BALD with dropout on all three sets, by up to 0.015, at a hundred "
        "times the seconds; still below Margin.",
        ("posteriors_worth",),
    ),
    "BatchEPIG": _open(
        "EPIG of whole batches is better than that of the top rows, which are alike.",
        "Added after the studies.",
    ),
    "CAL": _open(
        "Rows whose predictions differ from those of their neighbors are better than "
        "uncertain or diverse ones, for text.",
        "Reads features and labeled rows of a net.",
    ),
    "ClusterMargin": _open(
        "Scales margin sampling to batches of 100,000 and more rows.",
        "For batches so large that uncertain rows resemble each other.",
    ),
    "ConsensusEntropy": _open(
        "Entropy of a committee's mean needs fewer labels than random rows.",
        "As Entropy, of the mean over the models.",
    ),
    "CoreSet": Claim(
        "Covering the pool by k-center is better than uncertainty, for images with a "
        "convolutional net.",
        "partly",
        "Better than random rows on 8 of 11 small tables of regression, on pendigits "
        "and MNIST, and with SVMs; not on letter, and worse than Margin in "
        "classification.  Picks outliers.",
        ("tabular_small", "learned", "plain_regressors", "tabular_classification"),
    ),
    "Distinct": _open(
        "None: a row need not be labeled twice.", "For pools with duplicates."
    ),
    "DiverseMiniBatch": _open(
        "Diverse uncertain rows are better than the most uncertain ones.",
        "Costs a k-means of the uncertain rows at each query.",
    ),
    "EGL": _open(
        "Rows with a large expected gradient are better than uncertain ones, for text.",
        "Costs a gradient for each class of each row.",
    ),
    "EMCM": Claim(
        "Rows that would change the model most are better than random and diverse "
        "rows, for regression.",
        "not",
        "In batches of 20 with nets, worse than random rows on 9 of 11 tables: it "
        "picks the rows of highest scores, however alike.",
        ("tabular_small",),
    ),
    "EPIG": Claim(
        "Information about predictions of interest is better than BALD.",
        "not",
        "For regression in batches of 20 with dropout, worse than random rows on 10 of "
        "11 tables.  The claim is for classification, one row at a time.",
        ("tabular_small",),
    ),
    "Entropy": Claim(
        "Uncertain rows need fewer labels than random ones.",
        "partly",
        "Better than random rows on MNIST and with logistic regression on 7 of 8 "
        "tables, no better on pendigits, and worse on letter, with its 26 classes.  "
        "Below Margin everywhere.",
        ("posteriors_worth", "learned", "tabular_classification"),
    ),
    "FrankWolfe": Claim(
        "Sparse approximations of the whole pool give diverse batches.",
        "reproduced",
        "Better than random rows on 11 of 11 small tables of regression; a little "
        "below LCMD.",
        ("tabular_small",),
    ),
    "GreedySampling": Claim(
        "Diversity in inputs and outputs needs fewer labels, for regression.",
        "reproduced",
        "Better than random rows on 8 of 11 small tables with nets and on 7 of 8 with "
        "an SVM, below LCMD on average.",
        ("tabular_small", "plain_regressors"),
    ),
    "InformationDensity": _open(
        "Weighting uncertainty by density avoids outliers.",
        "Costs similarities of all pairs of rows, in blocks.",
    ),
    "KMeansPP": Claim(
        "k-means++ in a space of gradients gives diverse batches (as in BADGE).",
        "reproduced",
        "Better than random rows on 11 of 11 small tables of regression; a little "
        "below LCMD.",
        ("tabular_small",),
    ),
    "LCMD": Claim(
        "The best of the batch methods compared on 15 large tables of regression.",
        "reproduced",
        "The best average rank on small tables, better than random rows on 11 of 11, "
        "and the largest gain on five large tables; also with ridge regression, SVM "
        "and nearest neighbors.  The gain on large tables is 0.05 where the paper has "
        "0.19, on other sets and with duplicates dropped.  For classification, Margin "
        "is better.",
        ("tabular_small", "tabular", "plain_regressors", "tabular_classification"),
    ),
    "LDM": _open(
        "The smallest disagreement that changes a prediction is a better measure of "
        "uncertainty than entropy or margin.",
        "Its seconds were measured, not its gain.",
    ),
    "LDMSeeding": _open(
        "As good as or better than BADGE, BatchBALD and others on images and tables.",
        "The demo compares it with Margin and with random rows on digits.",
    ),
    "LabelDispersion": Claim(
        "Changes of the predicted class from epoch to epoch find uncertain rows better "
        "than probabilities do.",
        "partly",
        "Gains 0.01 to 0.025 in accuracy on pendigits and MNIST, nothing on letter, "
        "and never more than Margin.",
        ("posteriors_worth",),
    ),
    "LeastConfident": _open(
        "Rows of low confidence need fewer labels than random ones.",
        "Equal to Margin for two classes.",
    ),
    "LossPrediction": Claim(
        "Rows of large predicted losses are better than uncertain and diverse ones.",
        "not",
        "Gains on energy; otherwise no better than random rows or worse, on 10 of 11 "
        "tables of regression and on three sets of classification.",
        ("learned", "tabular_small"),
    ),
    "MAL": Claim(
        "Unfamiliar and uncertain rows by an adversarial entropy beat VAAL and "
        "core-sets.",
        "partly",
        "Better than VAAL; than random rows only on MNIST, by 0.01.",
        ("learned",),
    ),
    "Margin": Claim(
        "The margin of the model itself has the best average rank on 26 binary tables.",
        "reproduced",
        "The best of ten strategies on letter, pendigits and MNIST with nets, and of "
        "nine with logistic regression on eight tables; better than random rows with "
        "an SVM on seven of eight binary tables, four to five seeds.",
        ("binary26", "posteriors_worth", "tabular_classification"),
    ),
    "MaxDet": Claim(
        "Batches of the largest determinant are diverse and uncertain.",
        "partly",
        "Better than random rows on 7 of 11 small tables of regression, below LCMD.",
        ("tabular_small",),
    ),
    "MaxDiag": Claim(
        "Rows of the largest variance of a Gaussian process on gradients.",
        "partly",
        "Better than random rows on 6 of 11 tables: its picks are alike.",
        ("tabular_small",),
    ),
    "MaxDist": Claim(
        "Farthest-first traversal in a space of gradients.",
        "partly",
        "Better than random rows on 7 of 11 small tables of regression.",
        ("tabular_small",),
    ),
    "MaxHerding": Claim(
        "Covering by a smooth kernel is better than TypiClust and ProbCover with few "
        "labels.",
        "partly",
        "Better than random rows with ridge regression and an SVM on 7 of 8 tables, "
        "and than TypiClust with logistic regression; below LCMD in regression and "
        "below Margin in classification.",
        ("plain_regressors", "tabular_classification"),
    ),
    "MeanStd": _open(
        "Deviations of class probabilities under dropout find uncertain rows.",
        "As BALD in what it reads.",
    ),
    "Mixture": _open("None.", "Worth what its two strategies are worth."),
    "NoiseStability": Claim(
        "Deviations under noise on the weights are better than those of dropout and "
        "than core-sets, for classification and regression.",
        "partly",
        "As in the authors' program (normalized features): better than random rows on "
        "Ames with their protocol, where inputs are not scaled; worse on 10 of 11 "
        "small and on 5 of 5 large tables.  By predictions, skal's default, it gains "
        "0.06 in log RMSE with two seeds, and 0.08 with LCMD's clusters.",
        ("noise_stability", "tabular_small", "tabular", "ames_program", "ames_honest"),
    ),
    "PerCost": _open(
        "None: labels that cost more are to be worth more.", "Needs costs of rows."
    ),
    "PowerBALD": Claim(
        "Random draws by BALD are as good as BatchBALD at the cost of BALD.",
        "reproduced",
        "For regression, both have the same rank and gain.",
        ("tabular_small",),
    ),
    "PredictiveVariance": Claim(
        "The variance of a committee shows where a regressor needs labels.",
        "not",
        "With dropout in batches of 20, worse than random rows on 8 of 11 tables; with "
        "five nets (QBCVariance), better on 5 of 11.  A batch is alike: use "
        "Stochastic, SuggestiveAnnotation or few rows at a time.",
        ("tabular_small", "learned"),
    ),
    "Prefilter": _open("None.", "Makes a strategy quicker on large pools."),
    "ProbCover": Claim(
        "Covering by balls is best with very few labels, in self-supervised features "
        "of images.",
        "not",
        "On tables of regression from 20 labels on, worse than random rows on 10 of "
        "11.  Features as in the paper were not studied.",
        ("tabular_small",),
    ),
    "Random": Claim(
        "None: what others are compared with.",
        "reproduced",
        "With an SVM and four seeds, its mean accuracy agrees with a published table "
        "on six of eight sets, and on average.",
        ("binary26",),
    ),
    "Stochastic": _open(
        "Draws by a score are as good as batch methods that take much longer.",
        "See PowerBALD, the same for one score.",
    ),
    "Subsample": _open("None.", "Makes a strategy quicker on large pools."),
    "SuggestiveAnnotation": Claim(
        "Uncertain rows that represent the pool are better than uncertain ones, for "
        "images of tissue.",
        "partly",
        "For regression better than PredictiveVariance, but no better than random "
        "rows.",
        ("tabular_small",),
    ),
    "TESSAR": Claim(
        "Least disagree metrics and representativeness for regression.",
        "reproduced",
        "Better than random rows on 10 of 11 small and on 5 of 5 large tables; below "
        "LCMD.",
        ("tabular_small", "tabular"),
    ),
    "TypiClust": Claim(
        "Typical rows are best with very few labels, in self-supervised features of "
        "images.",
        "partly",
        "From 20 labels on: no better than random rows on tables of regression; with "
        "logistic regression it gains early, and nothing later.",
        ("tabular_small", "tabular_classification"),
    ),
    "UHerding": Claim(
        "Covering of uncertain rows is good with few and with many labels.",
        "reproduced",
        "With logistic regression on eight tables, its gain is second to that of "
        "Margin, early as late; it takes ten times the seconds.",
        ("tabular_classification",),
    ),
    "VAAL": Claim(
        "Rows unlike the labeled ones, by a variational autoencoder, beat core-sets.",
        "not",
        "No better than random rows on six sets, worse on four; seconds a query.",
        ("learned",),
    ),
    "VariationOfPrediction": Claim(
        "Variation over epochs finds uncertain rows.",
        "not",
        "For regression in batches of 20, worse than random rows on 8 of 11 tables.",
        ("tabular_small",),
    ),
    "VariationRatio": _open(
        "Votes of dropout against the most common class find uncertain rows.",
        "As VoteEntropy in what it reads.",
    ),
    "ViaProxy": _open(
        "The picks of a small model serve a large one.",
        "With a logistic regression as proxy of an SVM, see US-NC in the results of "
        "binary26.",
    ),
    "VoteEntropy": Claim(
        "Disagreement of a committee needs fewer labels than random rows.",
        "reproduced",
        "Gains 0.02 in accuracy on pendigits and MNIST with an ensemble, nothing on "
        "letter; not told apart from Margin, which needs one net in place of five.",
        ("posteriors_worth",),
    ),
    "WiGS": _open(
        "A weighted sum of distances improves on greedy sampling.",
        "Added after the study of regression.",
    ),
}
