"""What papers claim for the strategies, and what the studies of skal found.

`docs.tables` writes the page "Which strategy" and the tables of strategies from it.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CLAIMS", "VERDICTS", "Claim"]

#: Verdicts, best first, and what they mean.
VERDICTS = {
    "reproduced": "the studies of skal agree with the claim",
    "partly": "they agree on some data or in some settings",
    "not": "they show the contrary, or no gain",
    "not studied": "no study of skal tests the claim, though some use the strategy",
}


class Claim(NamedTuple):
    """A claim, and what the studies found.

    Attributes
    ----------
    claim : str
        A summary of the claim.
    verdict : str
        A key of `VERDICTS`.
    found : str
        What our studies show; if there are none, a note for users.
    results : tuple of str
        Names of files in ``benchmarks/results``.
    """

    claim: str
    verdict: str
    found: str
    results: tuple[str, ...] = ()


def _open(claim: str, found: str, results: tuple[str, ...] = ()) -> Claim:
    return Claim(claim, "not studied", found, results)


CLAIMS = {
    "Alternate": _open(
        "Alternating an informative and a diverse strategy is robust.",
        "Its gain depends on its two strategies.",
    ),
    "BADGE": Claim(
        "As good as the better of uncertainty and diversity sampling, for all batch "
        "sizes and nets.",
        "partly",
        "On five large tables of regression, where it is k-means++ on gradients, it "
        "gains 0.03 in log RMSE, less than LCMD.  For classification with few labels, "
        "it gains 2.7 percentage points of accuracy in batches of 20 (four sets, five "
        "seeds), less than LDMSeeding and not significantly more than Margin, and "
        "nothing in batches of 1.",
        ("tabular", "ldm_worth"),
    ),
    "BAIT": Claim(
        "Better than BADGE for classification, and applicable to regression.",
        "reproduced",
        "Second best on small tables of regression with nets, better than random "
        "sampling on 11 of 11, in four times the query time of LCMD; for other "
        "regressors in the space of inputs, such as ridge regression, it is no better "
        "than random sampling.  For classification with a small net on 17 tables "
        "(five seeds), it has the largest mean gain of 16 strategies, 3.2 percentage "
        "points: 0.6 ± 0.5 more than BADGE, and 0.5 ± 0.5 more than Margin, in 70 "
        "times its query time.",
        ("tabular_small", "plain_regressors", "tabular_classification"),
    ),
    "BALD": Claim(
        "The mutual information with dropout needs far fewer labels than random "
        "sampling, for images.",
        "partly",
        "With dropout or an ensemble, it gains 1 to 2 percentage points of accuracy on "
        "MNIST, at most 1 on pendigits, and loses 3 to 4 on letter; worse than Margin "
        "on all three.  On 17 tables, it gains 1.6 with dropout and 1.5 with a "
        "forest, less than Margin, and nothing with bagged logistic regressions.",
        ("posteriors_worth", "tabular_classification"),
    ),
    "BatchBALD": Claim(
        "Better than the rows with the highest BALD, which are similar to each other.",
        "partly",
        "With dropout, better than BALD on all three sets, by up to 1.5 percentage "
        "points, with much longer queries; worse than Margin.",
        ("posteriors_worth",),
    ),
    "BatchEPIG": Claim(
        "EPIG of a whole batch is better than the rows with the highest EPIG, which "
        "are similar to each other.",
        "partly",
        "In batches of 20 with dropout, no better than random sampling on ten small "
        "tables of regression (five seeds); EPIG alone, in another study, is worse.",
        ("tabular_small_newer",),
    ),
    "CAL": Claim(
        "Rows whose predictions differ from those of their neighbors are better than "
        "uncertain or diverse ones, for text.",
        "not",
        "With a net on 17 tables (two seeds), no better than random sampling, and 3.2 "
        "± 2.0 percentage points worse than Margin.  Text was not studied.",
        ("tabular_classification",),
    ),
    "ClusterMargin": _open(
        "Scales margin sampling to batches of 100,000 rows and more.",
        "In batches of 10 on 17 tables, it gains 2.2 percentage points with logistic "
        "regression (five seeds) and 2.0 with a net (two seeds), about as much as "
        "Margin; in batches of 20 with other learners, it gains less than Margin.",
        ("tabular_classification", "any_learner"),
    ),
    "ConsensusEntropy": Claim(
        "The entropy of a committee's mean prediction needs fewer labels than random "
        "sampling.",
        "partly",
        "On 17 tables, it gains 2.2 percentage points with the dropout masks of a net "
        "(two seeds) and 2.8 with the trees of a forest (one seed), as much as "
        "Entropy, but not significantly with five bagged logistic regressions (three "
        "seeds).",
        ("tabular_classification",),
    ),
    "CoreSet": Claim(
        "Covering the pool by k-center is better than uncertainty sampling, for images "
        "with a convolutional net.",
        "partly",
        "Better than random sampling on 8 of 11 small tables of regression, on "
        "pendigits and MNIST, and with SVMs; not on letter.  On 17 tables of classes, "
        "it gains 2.8 percentage points with a forest and 1.8 with a net, less than "
        "Margin, and nothing with logistic regression.  It picks outliers.",
        ("tabular_small", "learned", "plain_regressors", "tabular_classification"),
    ),
    "Distinct": _open(
        "None: equal rows need not be labeled twice.", "For pools with duplicates."
    ),
    "DiverseMiniBatch": Claim(
        "Diverse uncertain rows are better than the most uncertain ones.",
        "partly",
        "In batches of 10 on 17 tables, by margins, it gains 3.0 percentage points "
        "with a net (five seeds), 0.2 ± 0.5 more than Margin, 2.5 with logistic "
        "regression (three seeds), as much as Margin, and 4.9 with a forest, where "
        "Margin gains 4.4 (one seed).",
        ("tabular_classification",),
    ),
    "EGL": Claim(
        "Rows with a large expected gradient are better than uncertain ones, for text.",
        "not",
        "With a net on 17 tables (two seeds), no better than random sampling, and 1.8 "
        "± 1.3 percentage points worse than Margin.  Text was not studied.",
        ("tabular_classification",),
    ),
    "EMCM": Claim(
        "Rows that would change the model most are better than random and diverse "
        "rows, for regression.",
        "not",
        "In batches of 20 with nets, worse than random sampling on 9 of 11 tables: it "
        "picks the rows with the highest scores, even if they are similar.",
        ("tabular_small",),
    ),
    "EPIG": Claim(
        "Information about predictions of interest is better than BALD.",
        "not",
        "For regression in batches of 20 with dropout, worse than random sampling on "
        "10 of 11 tables.  For classification in batches of 10 on 17 tables, no "
        "better than random sampling or BALD with a net (two seeds) and with logistic "
        "regression (three seeds), and worse than BALD with a forest (one seed).  The "
        "paper picks one row at a time.",
        ("tabular_small", "tabular_classification"),
    ),
    "Entropy": Claim(
        "Uncertain rows need fewer labels than random sampling.",
        "partly",
        "Better than random sampling on MNIST and on average over 17 tables, by 2.3 "
        "percentage points with a net and 1.5 with a forest, but not significantly "
        "with logistic regression; no better on pendigits, and worse on letter, with "
        "its 26 classes.  Worse than Margin on average.",
        ("posteriors_worth", "learned", "tabular_classification"),
    ),
    "FrankWolfe": Claim(
        "Sparse approximations of the whole pool give diverse batches.",
        "reproduced",
        "Better than random sampling on 11 of 11 small tables of regression; slightly "
        "worse than LCMD.",
        ("tabular_small",),
    ),
    "GreedySampling": Claim(
        "Diversity in inputs and outputs needs fewer labels, for regression.",
        "partly",
        "Better than random sampling on 8 of 11 small tables with nets, which is not "
        "significant on average, and on 7 of 8 with an SVM, which is; worse than LCMD "
        "on average.",
        ("tabular_small", "plain_regressors"),
    ),
    "InformationDensity": Claim(
        "Weighting uncertainty by density avoids outliers.",
        "not",
        "No better than random sampling on average, with an SVM on eleven binary "
        "tables and with logistic regression on 17 tables; worse than Margin.  With a "
        "net on these 17 (two seeds), it gains 2.2 percentage points, as much as "
        "Margin.  The paper labels sequences of words.",
        ("binary26", "tabular_classification"),
    ),
    "KMeansPP": Claim(
        "k-means++ in a space of gradients gives diverse batches, as in BADGE.",
        "reproduced",
        "Better than random sampling on 11 of 11 small tables of regression; slightly "
        "worse than LCMD.  For classification with a net on 17 tables (five seeds), "
        "where it uses the gradients of all layers, it gains 3.0 percentage points, "
        "0.4 ± 0.2 more than BADGE, which uses those of the last one.",
        ("tabular_small", "tabular_classification"),
    ),
    "KMedoids": Claim(
        "Training on representative rows, also if they are chosen among uncertain rows "
        "only, makes better classifiers.",
        "partly",
        "For regression with nets, better than random sampling on 9 of 10 small "
        "tables (five seeds), but by less than LCMD.  For classification on 17 "
        "tables, it gains 1.6 percentage points with a net (two seeds), 1.1 with "
        "logistic regression (three seeds) and 2.9 with a forest (one seed), less "
        "than Margin.",
        ("tabular_small_newer", "tabular_classification"),
    ),
    "LCMD": Claim(
        "The best of the batch methods compared on 15 large tables of regression.",
        "reproduced",
        "The best average rank on small tables, better than random sampling on 11 of "
        "11, and the largest gain on five large tables; also the best with ridge "
        "regression, SVM and nearest neighbors.  The gain on large tables is 0.05, "
        "where the paper reports 0.19, on other sets and without duplicates.  For "
        "classification on 17 tables, it gains as much as Margin with a net, and less "
        "with a forest, with logistic regression and with CatBoost.  On Ames with ten "
        "random splits, from 50 labels on, it gains nothing.",
        (
            *("tabular_small", "tabular", "plain_regressors"),
            *("tabular_classification", "ames_honest"),
        ),
    ),
    "LDM": Claim(
        "The smallest disagreement that changes a prediction is a better measure of "
        "uncertainty than entropy or margin.",
        "not",
        "For two classes, it ranks rows as a closed form does (rank correlation 0.99 "
        "in 50 dimensions), although its values are too large in many dimensions.  It "
        "finds errors, and rows that other nets flip, no better than Margin and "
        "Entropy do (two to three seeds).  As a strategy in batches of 20 with few "
        "labels, it is better than random sampling by 2.9 percentage points, but not "
        "significantly better than Margin (five seeds), and on 17 tables it gains as "
        "much as Margin (two seeds).",
        ("ldm_measure", "ldm_worth", "tabular_classification"),
    ),
    "LDMSeeding": Claim(
        "As good as or better than BADGE, BatchBALD and others on images and tables.",
        "reproduced",
        "On 17 tables, from 20 to 170 labels in batches of 10 with a small net, it "
        "has the third largest mean gain of 16 strategies, 3.0 percentage points, "
        "though not significantly more than Margin with 2.7 (five seeds).  On letter, "
        "optdigits, digits and MNIST (five seeds), it has the smallest mean error of "
        "ten as well: in batches of 20 it gains 4.0 percentage points over random "
        "sampling, 1.3 over BADGE and 1.7 over Margin and BatchBALD, most of it on "
        "letter; in batches of 100 it gains 2.1, which is not significantly more than "
        "Margin or BADGE, and in batches of 1 not significantly more than random "
        "sampling.  With 10 and 30 % of the labels wrong, its gain is similar to that "
        "of Margin; with a fifth of the pool of unwanted classes, it has the smallest "
        "error; with a fifth of meaningless rows, it gains nothing, and BADGE does.",
        ("ldm_worth", "tabular_classification"),
    ),
    "LabelDispersion": Claim(
        "Changes of the predicted class from epoch to epoch find uncertain rows better "
        "than probabilities do.",
        "partly",
        "Gains 1 to 2.5 percentage points of accuracy on pendigits and MNIST, nothing "
        "on letter, and no more than Margin there.  With few labels, it gains most if "
        "all epochs are read, 1.1 ± 1.6 more than Margin (three seeds), and on 17 "
        "tables as much as Margin (two seeds); its scores find the errors of a net "
        "less well.",
        ("posteriors_worth", "stability_dispersion", "tabular_classification"),
    ),
    "LeastConfident": Claim(
        "Rows of low confidence need fewer labels than random sampling.",
        "reproduced",
        "On 17 tables, it gains 2.7 percentage points with a net (five seeds), as "
        "much as Margin, 1.3 with logistic regression (three seeds) and 3.4 with a "
        "forest (one seed), less than Margin.  It picks the same rows as Margin if "
        "there are two classes.",
        ("tabular_classification",),
    ),
    "LossPrediction": Claim(
        "Rows with large predicted losses are better than uncertain and diverse ones.",
        "not",
        "Worse than random sampling on 10 of 11 small tables of regression and on "
        "three sets of classification.  In another study, it gains on one of three "
        "tables of regression.",
        ("learned", "tabular_small"),
    ),
    "MAL": Claim(
        "Unfamiliar and uncertain rows, found by an adversarial entropy, are better "
        "than VAAL and core-sets.",
        "partly",
        "Better than VAAL.  Better than random sampling only on MNIST, by 1 percentage "
        "point.",
        ("learned",),
    ),
    "Margin": Claim(
        "The margin of the model itself has the best average rank on 26 binary tables.",
        "reproduced",
        "With an SVM on eleven binary tables, better than random sampling on each, by "
        "as much as published, and better on average than each of the other "
        "strategies compared there (20 seeds).  The best of ten strategies on letter, "
        "pendigits and MNIST with nets (five seeds).  On 17 tables, it gains 2.7 "
        "percentage points with a small net, where BAIT gains 0.5 ± 0.5 more, and 2.3 "
        "with logistic regression, 3.1 with a forest and 3.2 with CatBoost, not "
        "significantly less than the best (five seeds; CatBoost one to two).  In "
        "batches of 20 with a small net, it is sixth of ten on four sets, and worse "
        "than LDMSeeding.",
        ("binary26", "posteriors_worth", "tabular_classification", "ldm_worth"),
    ),
    "MaxDet": Claim(
        "Batches with the largest determinant are diverse and uncertain.",
        "partly",
        "Better than random sampling on 7 of 11 small tables of regression; worse than "
        "LCMD.",
        ("tabular_small",),
    ),
    "MaxDiag": Claim(
        "Rows with the largest variance of a Gaussian process on gradients.",
        "partly",
        "Better than random sampling on 6 of 11 tables: the rows of a batch are "
        "similar to each other.",
        ("tabular_small",),
    ),
    "MaxDist": Claim(
        "Farthest-first traversal in a space of gradients.",
        "partly",
        "Better than random sampling on 7 of 11 small tables of regression.",
        ("tabular_small",),
    ),
    "MaxHerding": Claim(
        "Covering by a smooth kernel is better than TypiClust and ProbCover with few "
        "labels.",
        "partly",
        "Better than random sampling on 10 of 10 small tables with nets, on 7 of 8 "
        "with ridge regression and with an SVM, and on average better than TypiClust "
        "with logistic regression; worse than LCMD for regression and than Margin for "
        "classification.",
        ("tabular_small_newer", "plain_regressors", "tabular_classification"),
    ),
    "MeanStd": Claim(
        "Standard deviations of class probabilities under dropout find uncertain rows.",
        "partly",
        "On 17 tables, no better than random sampling with the dropout masks of a net "
        "(two seeds) and with bagged logistic regressions (three seeds); with a "
        "forest, it gains 2.7 percentage points (one seed).  In each case, BALD gains "
        "as much.",
        ("tabular_classification",),
    ),
    "Mixture": _open("None.", "Its gain depends on its two strategies."),
    "NoiseStability": Claim(
        "Deviations under noise on the weights are better than those of dropout and "
        "than core-sets, for classification and regression.",
        "partly",
        "As in the authors' program (normalized features), it is better than random "
        "sampling on Ames with their protocol, where inputs are not scaled, but worse "
        "on 10 of 11 small and on 5 of 5 large tables.  With predictions, skal's "
        "default, it gains 0.06 in log RMSE on small tables (two seeds), and 0.08 "
        "with the selection of LCMD (0.06 on ten tables with five seeds, and better "
        "than random sampling on all of them).  On Ames with random splits, it loses, "
        "and with the selection of LCMD it gains nothing.  For classification on 17 "
        "tables (five seeds), it gains 2.5 percentage points, as much as Margin and "
        "more than BALD.  The size of the noise, from 0.0001 to 0.1, 3 to 100 draws, "
        "and noise for each tensor or for all make no significant difference (five "
        "tables of regression, four sets of classes, three seeds); features instead "
        "of predictions or probabilities are worse, most of all for classes.",
        (
            *("noise_stability", "stability_dispersion", "tabular_small", "tabular"),
            *("tabular_small_newer", "ames_program", "ames_honest"),
            "tabular_classification",
        ),
    ),
    "PerCost": _open(
        "None: expensive labels have to be more useful.",
        "Requires the costs of the rows.",
    ),
    "PowerBALD": Claim(
        "Random draws by BALD are as good as BatchBALD, at the cost of BALD.",
        "reproduced",
        "For regression, both have nearly the same rank and gain.  For classification "
        "on 17 tables with a net (two seeds), it gains 2.2 percentage points, 0.3 ± "
        "0.7 more than BatchBALD and 0.9 ± 0.9 more than BALD.",
        ("tabular_small", "tabular_classification"),
    ),
    "PredictiveVariance": Claim(
        "The variance of a committee shows where a regressor needs labels.",
        "not",
        "In batches of 20 with dropout, worse than random sampling on 8 of 11 tables; "
        "with five nets (QBCVariance), better on 5 of 11.  The rows of a batch are "
        "similar: use Stochastic, SuggestiveAnnotation or small batches.",
        ("tabular_small", "learned"),
    ),
    "Prefilter": _open("None.", "Makes a strategy faster on large pools."),
    "ProbCover": _open(
        "Covering by balls is best with very few labels, in self-supervised features "
        "of images.",
        "Self-supervised features were not studied.  On tables of regression from 20 "
        "labels on, worse than random sampling on 10 of 11; on 17 tables of classes, "
        "no better (one to three seeds).",
        ("tabular_small", "tabular_classification"),
    ),
    "Random": _open(
        "None: the reference for the others.",
        "With an SVM and 20 seeds, its mean accuracy agrees with a published table "
        "on each of eleven sets, within the error of both.",
        ("binary26",),
    ),
    "Stochastic": Claim(
        "Random draws by a score are as good as batch methods that take much longer.",
        "partly",
        "In batches of 10 on 17 tables (five seeds), draws by margins gain 2.9 "
        "percentage points with a net, 0.2 ± 0.5 more than Margin and not "
        "significantly less than BAIT and LDMSeeding; with logistic regression 1.6, "
        "less than Margin.  See also PowerBALD, and the other learners above.",
        ("tabular_classification", "any_learner", "binary26"),
    ),
    "Subsample": _open("None.", "Makes a strategy faster on large pools."),
    "SuggestiveAnnotation": Claim(
        "Uncertain rows that represent the pool are better than uncertain ones, for "
        "images of tissue.",
        "partly",
        "For regression better than PredictiveVariance, but no better than random "
        "sampling.  For classification on 17 tables with a net (two seeds), it gains "
        "2.3 percentage points, as much as Margin.",
        ("tabular_small", "tabular_classification"),
    ),
    "TESSAR": Claim(
        "LDM for regression, with representative rows, is better than other methods.",
        "partly",
        "Better than random sampling on 10 of 11 small and on 5 of 5 large tables, but "
        "worse than LCMD, BAIT and others.",
        ("tabular_small", "tabular"),
    ),
    "TypiClust": _open(
        "Typical rows are best with very few labels, in self-supervised features of "
        "images.",
        "Self-supervised features were not studied.  From 20 labels on: no better than "
        "random sampling on tables of regression; on 17 tables of classes, it gains at "
        "most a percentage point, and with a forest only at first.",
        ("tabular_small", "tabular_classification"),
    ),
    "UHerding": Claim(
        "Covering uncertain rows is good with few and with many labels.",
        "reproduced",
        "On 17 tables, it gains 2.8 percentage points with a small net, 2.6 with "
        "logistic regression, 3.2 with a forest and 3.5 with CatBoost (one to two "
        "seeds), about as much as Margin: more with few labels and a net or logistic "
        "regression, and less with few labels and a forest.  A query takes 13 to 20 "
        "times as long, and with CatBoost 80 times.",
        ("tabular_classification",),
    ),
    "VAAL": Claim(
        "Rows unlike the labeled ones, found by a variational autoencoder, are better "
        "than core-sets.",
        "not",
        "Better than random sampling on none of six sets, and worse on four of them; a "
        "query takes seconds.",
        ("learned",),
    ),
    "VariationOfPrediction": Claim(
        "The variation over epochs finds uncertain rows.",
        "not",
        "For regression in batches of 20, worse than random sampling on 8 of 11 "
        "tables.",
        ("tabular_small",),
    ),
    "VariationRatio": Claim(
        "Votes of dropout against the most common class find uncertain rows.",
        "reproduced",
        "On 17 tables, it gains 2.4 percentage points with the dropout masks of a net "
        "(two seeds) and 2.2 with five bagged logistic regressions (three seeds), as "
        "much as Margin, and 3.3 with a forest, where Margin gains 4.4 (one seed).",
        ("tabular_classification",),
    ),
    "ViaProxy": Claim(
        "The picks of a small model are as good for a large one.",
        "partly",
        "With LCMD and a net as the proxy of CatBoost, a Gaussian process and extra "
        "trees, the gains for regression are larger than without a proxy; for "
        "classification, some are larger and some smaller.",
        ("any_learner",),
    ),
    "VoteEntropy": Claim(
        "Disagreement of a committee needs fewer labels than random sampling.",
        "reproduced",
        "With an ensemble, it gains 2 percentage points of accuracy on pendigits and "
        "MNIST, and nothing on letter; no better than Margin, which needs one net "
        "instead of five.  On 17 tables, it gains 2.7 with dropout masks of a net "
        "(five seeds), as much as Margin, and 1.7 with five bagged logistic "
        "regressions, less than Margin (five seeds).",
        ("posteriors_worth", "tabular_classification"),
    ),
    "WiGS": Claim(
        "A weighted sum of distances is better than greedy sampling by a product.",
        "partly",
        "On ten small tables with nets (five seeds), it gains 0.05 in log RMSE and "
        "GreedySampling, with the product, 0.02, which is not significantly less.",
        ("tabular_small_newer",),
    ),
}
