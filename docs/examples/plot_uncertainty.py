"""
What the numbers of uncertainty mean
====================================

A strategy needs uncertainties in the right order; a reader of an interval needs their
size, too.  This example counts how many targets lie within two standard deviations of
the prediction, for rows that are held out.
"""

# %%
# The dropout net, a Gaussian process and a forest are fitted on 150 patients.  95 % of
# the targets should lie within two standard deviations if these describe all errors.

import matplotlib.pyplot as plt
import numpy as np
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
kernel = ConstantKernel() * RBF([3.0] * 10, (0.1, 1e3)) + WhiteKernel()
net = NetRegressor(module__dropout=0.1, max_epochs=40, random_state=0)
models = {
    "net with dropout": TransformedTargetRegressor(net, transformer=StandardScaler()),
    "Gaussian process": GaussianProcessRegressor(kernel, normalize_y=True),
    "extra trees": ExtraTreesRegressor(100, min_samples_leaf=3, random_state=0),
}

# %%
# The dashed lines would be met if the deviations described all errors.  Those of
# dropout and of trees say how much the models differ, and leave out the noise of the
# labels, which no label reduces: their intervals hold too few targets.  The Gaussian
# process estimates the noise; it is added here.

levels = np.linspace(0, 3, 25)
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for name, model in models.items():
    model.fit(X[:150], y[:150])
    error = np.abs(model.predict(X_test) - y_test)
    std = predictive_std(model, X_test, random_state=0).numpy().ravel()
    if name == "Gaussian process":
        noise = model.kernel_.k2.noise_level * y[:150].var()
        std = np.sqrt(std**2 + noise)
    share = [(error <= level * std).mean() for level in levels]
    axes[0].plot(levels, share, label=name)
    covered = (error <= 2 * std).mean()
    print(f"{name}: {covered:.0%} of targets within 2 standard deviations")
    # Whether a large deviation goes with a large error is what a strategy needs.
    bins = np.array_split(np.argsort(std), 6)
    rms = [np.sqrt(np.mean(error[rows] ** 2)) for rows in bins]
    axes[1].plot([std[rows].mean() for rows in bins], rms, "o-", label=name)
draws = np.abs(np.random.default_rng(0).normal(size=9999))
normal = [np.mean(draws <= level) for level in levels]
axes[0].plot(levels, normal, "k--", label="normal errors")
axes[0].set(xlabel="standard deviations", ylabel="share of targets within")
axes[1].axline((0, 0), slope=1, color="k", ls="--")
axes[1].set(xlabel="deviation [score]", ylabel="RMSE of a sixth of the rows [score]")
axes[0].legend()
