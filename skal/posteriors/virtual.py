"""The virtual ensembles of CatBoost: parts of one model as several."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from torch import Tensor

from skal.contexts import hiding
from skal.exceptions import UnsuitableLearnerError
from skal.posteriors.base import Draws, Posterior, Reader
from skal.reading.models import Member
from skal.reading.pool import Pool
from skal.reading.variance_column import gives_variance
from skal.rows import array_if_tensor
from skal.validation import check_int

__all__ = ["VirtualEnsemble", "has_virtual_ensemble"]


class VirtualEnsemble(Posterior):
    """Virtual ensembles of CatBoost [1]_: one model truncated after several trees.

    Parameters
    ----------
    n_draws : int, default=10
        Number K of models, at least 2.

    Notes
    -----
    Read by ``virtual_ensembles_predict(X, prediction_type="VirtEnsembles")``, which
    needs no further fit.  The models differ most, and are draws of a posterior, if
    CatBoost was fitted with ``posterior_sampling=True``; otherwise they are stages of
    one boosting, the last of them the whole model.  With the loss
    ``RMSEWithUncertainty`` the means are read: their variance is what the model does
    not know, without the noise of labels.  Where `predict` returns the exponential of
    what the trees sum up to (Poisson, Tweedie), so does each of the models.

    References
    ----------
    .. [1] Malinin, Prokhorenkova and Ustimenko, "Uncertainty in gradient boosting via
       ensembles", ICLR 2021. https://arxiv.org/abs/2006.10562
    """

    def __init__(self, n_draws: int = 10) -> None:
        self.n_draws = n_draws

    def draw(self, pool: Pool, rng: torch.Generator) -> Draws:
        """Read the parts; see `Posterior.draw`."""
        check_int("n_draws", self.n_draws, 2)
        for member in pool.members:
            if not has_virtual_ensemble(member.estimator):
                raise UnsuitableLearnerError(
                    f"{type(member.estimator).__name__} has no virtual ensembles; "
                    "those of CatBoost are read. Use posterior=Bagged()."
                )
        readers = [_VirtualReader(member, self.n_draws) for member in pool.members]
        return Draws(pool, readers, f"VirtualEnsemble({self.n_draws})")


def has_virtual_ensemble(estimator: Any) -> bool:
    """Whether an estimator gives the predictions of its parts, as CatBoost does."""
    return hasattr(estimator, "virtual_ensembles_predict")


class _VirtualReader(Reader):
    def __init__(self, model: Member, n_draws: int) -> None:
        self.model, self.member, self.n_draws = model, model.index, n_draws
        self.labels = None
        if is_classifier(model.estimator):
            self.labels = model.decode(np.asarray(model.estimator.classes_))
        self.has_variance = gives_variance(model.estimator)
        try:
            with hiding():
                first = self._sums(row := model.rows.read(slice(1)))
        # What CatBoost raises where there are too few trees is its own type.
        except Exception as error:
            raise UnsuitableLearnerError(
                f"{type(model.estimator).__name__} gives no {n_draws} virtual "
                "ensembles: it needs more trees (iterations), at least two for each, "
                f"or VirtualEnsemble a smaller n_draws. {error}"
            ) from error
        # The last of the models is the whole one.
        rows, whole = array_if_tensor(row), first[-1]
        self.is_log = False
        if self.labels is not None:
            what = "logits of its probabilities"
            proba = model.to_read.predict_proba(rows)
            fits = np.allclose(_proba(first)[-1], proba, atol=1e-6)
        else:
            what = "its predictions"
            predicted = np.asarray(model.to_read.predict(rows)).reshape(1, -1)
            predicted = predicted[:, : whole.shape[1]]  # without a variance
            with np.errstate(over="ignore"):
                self.is_log = np.allclose(np.exp(whole), predicted)
            fits = self.is_log or np.allclose(whole, predicted)
        if not fits:
            raise UnsuitableLearnerError(
                f"The virtual ensembles of {type(model.estimator).__name__} with the "
                f"loss {model.estimator.get_params().get('loss_function')} are not "
                f"read: they are not {what}. Use posterior=Bagged()."
            )
        self.n_outputs = self.read(row).shape[2]

    def read(self, block: Any) -> Tensor:
        """Read ``(n_draws, b, n_outputs)`` for a block of the member's rows."""
        sums = self._sums(block)
        if self.labels is not None:
            return _proba(sums)
        means = np.exp(sums) if self.is_log else sums
        shared = self.model.to_shared_units(means.reshape(-1, means.shape[2]))
        return torch.from_numpy(np.ascontiguousarray(shared.reshape(means.shape)))

    def _sums(self, block: Any) -> np.ndarray:
        """Read the sums over the trees of each model, ``(n_draws, b, columns)``."""
        found = self.model.to_read.virtual_ensembles_predict(
            array_if_tensor(block),
            prediction_type="VirtEnsembles",
            virtual_ensembles_count=self.n_draws,
        )
        outputs = np.asarray(found, dtype=np.float64)
        outputs = outputs.reshape(len(outputs), self.n_draws, -1).swapaxes(0, 1)
        return outputs[:, :, :1] if self.has_variance else outputs


def _proba(sums: np.ndarray) -> Tensor:
    """Probabilities of the classes."""
    logits = torch.from_numpy(np.ascontiguousarray(sums))
    if logits.shape[2] == 1:  # of the second of two classes
        positive = logits.sigmoid()
        return torch.cat([1 - positive, positive], dim=2)
    return logits.softmax(dim=2)
