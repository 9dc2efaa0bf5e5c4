"""
Text
====

Sentences are classified by the text that they are from.  Their words are weighted by
tf-idf; strategies accept the sparse rows.
"""

# %%
# The sentences are from the descriptions of the data sets of scikit-learn.

import re

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline

from skal import compare_strategies
from skal.strategies import LCMD, Margin, Random

loaders = (load_breast_cancer, load_diabetes, load_digits, load_iris)
texts, topics = [], []
for load in (*loaders, load_linnerud, load_wine):
    description = load().DESCR
    sentences = re.split(r"(?<=[.:])\s+|\n\s*\n|\n\s*[-:|]", description)
    sentences = [" ".join(s.split()) for s in sentences if len(s.split()) > 2]
    texts += sentences
    topics += [load.__name__.removeprefix("load_")] * len(sentences)
texts, topics = np.array(texts, dtype=object), np.array(topics)
print(len(texts), "sentences, for example:", texts[3])

# %%
# The vectorizer is a step of the model, and is fitted on the labeled sentences only.
# There are 20 splits, and campaigns that start with 12 labels or with 40.
#
# From 12 labels of six classes, no strategy is better than random sampling, and the
# mean of :class:`~skal.strategies.Margin` is even lower: the model knows few words yet,
# so that its probabilities say little.  From 40 labels, Margin has a small gain.

model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, max_iter=500))
strategies = {"Random": Random(), "Margin": Margin(), "LCMD": LCMD()}
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
for ax, n_initial, n_instances in zip(axes, [12, 40], [6, 10], strict=True):
    comparison = compare_strategies(
        model,
        strategies,
        texts,
        topics,
        cv=StratifiedShuffleSplit(20, test_size=0.3, random_state=0),
        n_initial=n_initial,
        n_instances=n_instances,
        n_queries=6,
        initial="stratified",
        random_state=0,
    )
    print(f"{n_initial} labels at the start, {n_instances} in each query")
    print(comparison)
    comparison.plot(ax=ax)
