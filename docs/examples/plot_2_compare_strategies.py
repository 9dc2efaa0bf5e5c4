"""
Comparing strategies
====================

This example compares three strategies on handwritten digits, with the same splits,
starts and seeds.  Their differences are therefore paired, so that a few campaigns are
more informative than many unpaired ones.
"""

# %%
# There are four splits of 800 digits; a quarter of each is held out for testing.

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
# `gain` is the mean difference in area under the learning curve from Random.  If its
# interval includes 0, the verdict is "no gain".  `labels saved` is how many fewer
# labels a strategy needs to reach the final score of Random.

print(comparison)

# %%
# The bands are 95 % intervals of the mean.  They may overlap although the paired gain
# is clear, because part of their width comes from the splits, which all strategies
# share.

comparison.plot()
