"""Where alternative predictions come from: plausible models beside the fitted one."""

from skal.posteriors.weight_noise import perturb_weights

__all__ = ["perturb_weights"]
