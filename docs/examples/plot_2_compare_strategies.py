"""
Comparing strategies
====================

Three strategies play the same campaigns on handwritten digits: the same splits, the
same starts, the same seeds.  So their differences are paired, and a few campaigns say
more than many unpaired ones.
"""

# %%
# Four splits of 800 digits, each with a quarter to test on.

from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skal import NetClassifier, compare_strategies
from skal.strategies import LDMSeeding, Margin, Random

X, y = load_digits(return_X_y=True)
comparison = compare_strategies(
    make_pipeline(MinMaxScaler(), NetClassifier(max_epochs=20, lr=3e-3)),
    {"Random": Random(), "Margin": Margin(), "LDMSeeding": LDMSeeding()},
    X[:800],
    y[:800],
    cv=StratifiedShuffleSplit(4, test_size=0.25, random_state=0),
    n_initial=20,
    n_instances=20,
    n_queries=4,
    initial="stratified",
    random_state=0,
)

# %%
# `gain` is the mean difference of the areas under the curves to that of Random.  Where
# its interval includes 0, the verdict is "no gain".

comparison.summary(reference="Random").round(4)

# %%
# Bands are 95 % intervals of the mean.  They may overlap where the paired gain is
# clear: part of the spread is that of the splits, which all strategies share.

comparison.plot()
