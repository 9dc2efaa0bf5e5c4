"""
Coverage of uncertainties
=========================

A strategy needs uncertainties in the right order.  If they are used as error bars,
their size matters, too.  This example counts how many test targets lie within some
standard deviations of the prediction.
"""

# %%
# A net with dropout, a Gaussian process and extra trees are fitted on 150 patients.

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.preprocessing import StandardScaler

from skal import NetRegressor
from skal.posteriors import predictive_std

X, y = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(X)
X_test, y_test = X[150:], y[150:]
kernel = ConstantKernel() * RBF(3.0) + WhiteKernel()
net = NetRegressor(module__dropout=0.1, max_epochs=40, random_state=0)
models = {
    "net with dropout": TransformedTargetRegressor(net, transformer=StandardScaler()),
    "Gaussian process": GaussianProcessRegressor(kernel, normalize_y=True),
    "extra trees": ExtraTreesRegressor(100, min_samples_leaf=3, random_state=0),
}

# %%
# For each model, count the targets within 0 to 3 standard deviations.  To see whether
# errors are larger where the standard deviation is larger, sort the test rows by their
# standard deviation, and compute the error of each sixth of them.
#
# The standard deviation of the Gaussian process is that of the function; the noise of
# the labels, which it estimates, is added.

levels = np.linspace(0, 3, 25)
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for name, model in models.items():
    model.fit(X[:150], y[:150])
    error = np.abs(model.predict(X_test) - y_test)
    std = predictive_std(model, X_test, random_state=0).numpy().ravel()
    if name == "Gaussian process":
        noise_variance = model.kernel_.k2.noise_level * y[:150].var()
        std = np.sqrt(std**2 + noise_variance)
    share = [(error <= level * std).mean() for level in levels]
    axes[0].plot(levels, share, label=name)
    covered = (error <= 2 * std).mean()
    print(f"{name}: {covered:.0%} of targets within 2 standard deviations")
    bins = np.array_split(np.argsort(std), 6)
    rmse = [np.sqrt(np.mean(error[rows] ** 2)) for rows in bins]
    axes[1].plot([std[rows].mean() for rows in bins], rmse, "o-", label=name)
axes[0].plot(levels, 2 * norm.cdf(levels) - 1, "k--", label="normal errors")
axes[0].set(xlabel="standard deviations", ylabel="share of targets within")
axes[1].axline((0, 0), slope=1, color="k", ls="--")
axes[1].set(xlabel="mean standard deviation [score]", ylabel="RMSE of the rows [score]")
axes[0].legend()

# %%
# Left: if the standard deviations described all errors, the curves would follow the
# dashed line.  Those of the net and of the trees only measure how much the plausible
# models differ.  They do not include the noise of the labels, so that their intervals
# cover too few targets (:doc:`/uncertainty`).
#
# Right: for the net and the trees, larger standard deviations mostly mean larger
# errors, as a strategy requires.  For the Gaussian process, all rows are about equally
# uncertain here.
