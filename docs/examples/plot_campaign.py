"""
A campaign by files
===================

Labels often come in over days, as files that somebody has filled in.  A campaign keeps
what was asked and answered in a database.  Here the annotator is a line of Python.
"""

# %%
# The rows are those of the diabetes data, with a name for each patient.

import tempfile
from pathlib import Path

import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.campaign import Campaign

X, y = load_diabetes(return_X_y=True, as_frame=True)
X.index = [f"patient {i}" for i in range(len(X))]
y.index = X.index
model = make_pipeline(
    StandardScaler(),
    GaussianProcessRegressor(RBF(5.0) + WhiteKernel(), normalize_y=True),
)
folder = Path(tempfile.mkdtemp())
campaign = Campaign.create(
    folder / "diabetes.db",
    X.iloc[:300],
    model=model,
    target="progression",
    random_state=0,
)

# %%
# Each round writes a table of rows to label, which comes back with the last column
# filled in.  Some rows come back empty; they are asked again.

path = folder / "to_label.csv"
for week in range(5):
    campaign.ask(20, "ann").to_csv(path)
    table = pd.read_csv(path)
    table["progression"] = y[table["id"]].to_numpy()
    table.loc[: 2 * week, "progression"] = None
    table.to_csv(path, index=False)
    print(f"week {week + 1}: {campaign.tell_file(path, 'ann')}")

# %%
# What the campaign knows:

print(campaign.status())
campaign.export().tail()

# %%
# The learning curve, on rows that were not in the pool:

curve = campaign.learning_curve(X.iloc[300:], y.iloc[300:])
print(curve)
