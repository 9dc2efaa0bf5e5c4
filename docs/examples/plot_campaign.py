"""
From a CSV file to a finished campaign
======================================

A column of a table is mostly empty, and each of its cells costs a visit, a test or an
hour of an expert.  Which cells should be filled in first, and when are there enough of
them?  The commands ``skal ask``, ``skal tell`` and ``skal status`` do the same without
Python code, and ``skal label`` in the browser (:doc:`/campaign`).
"""

# %%
# The file is made from the diabetes data of scikit-learn, with made-up dates, missing
# values, and column names that are not ASCII.  The progression of the disease is known
# for 20 patients.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.ensemble import ExtraTreesRegressor

from skal.campaign import Campaign
from skal.stopping import Budget, StablePredictions
from skal.tabular import make_tabular_regressor

folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
made = X.rename(columns={"age": "âge", "bp": "tension (mmHg)", "s6": "glycémie"})
made["sex"] = made["sex"].map({1: "homme", 2: "femme"})
made["visit"] = pd.Timestamp("2024-01-08") + pd.to_timedelta(
    rng.integers(0, 300, len(X)), unit="D"
)
made = made.mask(rng.uniform(size=made.shape) < 0.03)
made.insert(0, "patient", [f"P{k:04d}" for k in range(len(X))])
made["progression"] = y.where(np.arange(len(X)) < 20)
made.to_csv(folder / "patients.csv", index=False)

# %%
# Read the file, with the ids as the index.

table = pd.read_csv(folder / "patients.csv", index_col="patient", parse_dates=["visit"])
rows, known = table.drop(columns="progression"), table["progression"]
table.tail(3)

# %%
# A campaign stores all queries and answers in a file.
#
# * The model accepts the table without further preparation.  Without an argument,
#   ``make_tabular_regressor`` makes an ensemble of nets; trees are faster.
# * The strategy is the one recommended for the model.
# * A random part of the rows is held out for testing.
# * The rule stops the campaign when the predictions hardly change any more, or when the
#   budget is spent.

parts = {
    "model": make_tabular_regressor(ExtraTreesRegressor(100)),
    "stop": StablePredictions(rows, tol=0.1) | Budget(200),
}
campaign = Campaign.create(
    folder / "patients.db",
    rows,
    y=known,
    target="progression",
    test_share=0.15,
    random_state=0,
    **parts,
)

# %%
# Ask for rows, and write them to a file with an empty column, which somebody fills in.
# Rows can be in any order, and can be left empty.  Here, a function does this.


def fill_in(path):
    """Fill in the labels, except for every tenth row."""
    sheet = pd.read_csv(path)
    sheet["progression"] = [y[int(name[1:])] for name in sheet["patient"]]
    sheet.loc[::10, "progression"] = None
    sheet.to_csv(path, index=False)


path = folder / "to_label.csv"
campaign.ask(20, "ann").to_csv(path)
fill_in(path)
print(campaign.tell_file(path, "ann"))

# %%
# A file with errors is refused as a whole, and the lines with errors are named.

sheet = pd.read_csv(path)
sheet.loc[3, "progression"] = 1.5
sheet["progression"] = sheet["progression"].astype(object)
sheet.loc[4, "progression"] = "about 90"
sheet.loc[5, "âge"] = 30
sheet.to_csv(path, index=False)
try:
    campaign.tell_file(path, "ann")
except ValueError as error:
    print(str(error).replace(str(folder), "..."))

# %%
# Continue until the rule stops the campaign.  It can be opened in another process at
# any time.

while not campaign.stop_reason():
    campaign = Campaign.open(folder / "patients.db", rows, **parts)
    campaign.ask(20, "ann").to_csv(path)
    fill_in(path)
    campaign.tell_file(path, "ann")
print(campaign.stop_reason())

# %%
# How good is the model?  The held-out rows were drawn at random, so that their mean
# error is an unbiased estimate of that on the other rows.

print(campaign.status(fit=True))

# %%
# The learning curve is measured on the same held-out rows.

curve = campaign.learning_curve(scoring="neg_mean_absolute_error")
figure, ax = plt.subplots(layout="constrained")
ax.plot(curve["n_labels"], -curve["score"], marker="o")
ax.set_xlabel("labels used [rows]")
ax.set_ylabel("mean absolute error on rows held out [score of progression]")

# %%
# At the end, export the table with all labels, and predictions for the other rows.

done = campaign.export()
done["predicted"] = campaign.predict()
done.to_csv(folder / "done.csv")
done[["progression", "predicted", "skal_state", "skal_test"]].tail()
