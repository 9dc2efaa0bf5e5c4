"""
Text
====

Sentences are classified by the text that they are from.  Their words are weighted by
tf-idf; strategies accept the sparse rows.
"""

# %%
# The sentences are from the descriptions of the data sets of scikit-learn.

import re

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
from skal.strategies import LCMD, Entropy, Margin, Random

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
# With so few labels for six classes, no strategy is clearly better than random
# sampling.

model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, max_iter=500))
comparison = compare_strategies(
    model,
    {"Random": Random(), "Margin": Margin(), "Entropy": Entropy(), "LCMD": LCMD()},
    texts,
    topics,
    cv=StratifiedShuffleSplit(6, test_size=0.3, random_state=0),
    n_initial=12,
    n_instances=6,
    n_queries=6,
    initial="stratified",
    random_state=0,
)
print(comparison)
comparison.plot()
