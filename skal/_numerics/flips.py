"""Rows whose class changes under perturbed heads, independent of rounding."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.products import block_size, blocks, factor_rounding, linear

__all__ = ["HeadRows", "stack_head"]

#: Factor by which blocks of logits are larger on a GPU, which has no such cache.
_ON_GPU = 64


def stack_head(weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return a head as ``(C, d [+ 1])`` float64 on the CPU, the bias as last column."""
    parts = [weight] if bias is None else [weight, bias[:, None]]
    return torch.cat([p.detach().cpu().to(torch.float64) for p in parts], dim=1)


def _as_gap(heads: Tensor) -> Tensor:
    """Reduce heads of two classes to the difference, whose sign decides.

    This halves the products.  Axis -2 is that of the classes; heads of one class or of
    more than two are returned as they are.
    """
    if heads.shape[-2] == 2:
        return heads[..., 1:, :] - heads[..., :1, :]
    return heads


class HeadRows:
    """Inputs of a fitted linear head, and the classes that perturbed heads may change.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Inputs of the head, on any device.
    head : Tensor of shape (C, d) or (C, d + 1)
        As returned by :func:`stack_head`.  With C = 1 the sign of the logit is the
        class.

    Attributes
    ----------
    labels : Tensor of shape (m,)
        Class predicted by the head; the lowest class wins a tie.
    reach : Tensor of shape (m,)
        Gap between the logit of the class and the closest rival, over the norm of the
        row (with the 1 of the bias).  Only a change of the head at least this large can
        flip the row.

    Notes
    -----
    The products are computed in the precision of the features (at least float32).
    Where their rounding could decide, they are repeated in float64.  So the answer does
    not depend on the blocks of rows and heads, nor on the number of threads.
    """

    def __init__(self, features: Tensor, head: Tensor) -> None:
        self.features = features.detach()
        self._head = _as_gap(head)
        self._n_features = features.shape[1]
        wide = features.dtype == torch.float64
        self._dtype = torch.float64 if wide else torch.float32
        labels, gaps, norms = [], [], []
        has_bias = head.shape[1] > self._n_features
        for block in self.features.split(block_size(head.shape[1])):
            x = block.cpu().to(torch.float64)
            logits = self._logits(x, self._head)
            if self._head.shape[0] == 1:
                labels.append((logits[:, 0] > 0).long())
                gaps.append(logits[:, 0].abs())
            else:
                top = logits.topk(2, dim=1).values
                labels.append(logits.argmax(dim=1))
                gaps.append(top[:, 0] - top[:, 1])
            norms.append((x.square().sum(dim=1) + float(has_bias)).sqrt())
        device = features.device
        norm = torch.cat(norms)
        # No head flips a row of zeros if there is no bias.
        reach = torch.where(norm > 0, torch.cat(gaps) / norm, torch.inf)
        self.labels = torch.cat(labels).to(device)
        self.reach = reach.to(device, self._dtype)
        self._norm = norm.to(device, self._dtype)

    def __len__(self) -> int:
        return len(self.labels)

    def _logits(self, x: Tensor, heads: Tensor) -> Tensor:
        """Logits (n, C) of rows x (n, d) under one head, or one head for each row."""
        weight = heads[..., : self._n_features]
        logits = x @ weight.T if heads.ndim == 2 else (weight @ x[:, :, None])[..., 0]
        if heads.shape[-1] > self._n_features:
            logits = logits + heads[..., -1]
        return logits

    def can_flip(self, noise: Tensor) -> Tensor:
        """Tell which rows any of B perturbations, ``(B, C, d [+ 1])``, might flip.

        A conservative test, by the Cauchy-Schwarz inequality.
        """
        norms = torch.linalg.vector_norm(_as_gap(noise), dim=-1)
        if norms.shape[1] > 1:  # the difference between two rows of noise counts
            norms = norms.topk(2, dim=1).values.sum(dim=1)
        return self.reach <= float(norms.max()) * (1 + 1e-5)

    def flips(self, noise: Tensor, rows: Tensor | None = None) -> Tensor:
        """Tell which rows change their class under which perturbed heads.

        Parameters
        ----------
        noise : Tensor of shape (B, C, d) or (B, C, d + 1)
            Added to the head; float64 on the CPU.
        rows : Tensor of shape (n,), optional
            Row numbers; by default all.

        Returns
        -------
        flips : bool Tensor of shape (B, n)
        """
        heads = self._head + _as_gap(noise)
        n_heads, n_outputs, width = heads.shape
        device = self.features.device
        flat = heads.to(device, self._dtype).reshape(-1, width)
        weight = flat[:, : self._n_features]
        n = len(self) if rows is None else len(rows)
        out = torch.empty((n_heads, n), dtype=torch.bool, device=device)
        step = block_size(len(flat)) * (1 if device.type == "cpu" else _ON_GPU)
        largest = float(torch.linalg.vector_norm(heads, dim=-1).max())
        # Bound on the rounding of an inner product, for both logits compared.
        rounding = (width + 4) * torch.finfo(self._dtype).eps + factor_rounding(flat)
        bound = 2 * rounding * largest
        for start in range(0, n, step):
            part = slice(start, start + step)
            index = part if rows is None else rows[part]
            x, labels = self.features[index].to(self._dtype), self.labels[index]
            logits = linear(weight, x)
            if width > self._n_features:
                logits += flat[:, -1:]
            gap = self._gap(logits.view(n_heads, n_outputs, -1), labels)
            flipped = gap > 0
            margin = gap.abs_().sub_(self._norm[index] * bound)
            if self._dtype != torch.float64 and bool(margin.amin() < 0):
                self._resolve(flipped, margin < 0, x, labels, heads)
            out[:, part] = flipped
        return out

    @staticmethod
    def _gap(logits: Tensor, labels: Tensor) -> Tensor:
        """Logit of the best rival minus that of the class (labels (n,)), ``(B, n)``.

        Overwrites `logits`, ``(B, C, n)``.
        """
        if logits.shape[1] == 1:
            return logits[:, 0] * (1 - 2 * labels)
        own = logits.gather(1, labels.expand(len(logits), 1, -1))[:, 0]
        classes = torch.arange(logits.shape[1], device=labels.device)
        mask = torch.zeros((), dtype=logits.dtype, device=labels.device).where(
            classes[:, None] != labels, -torch.inf
        )
        return logits.add_(mask).amax(dim=1) - own

    def _resolve(
        self, flipped: Tensor, is_open: Tensor, x: Tensor, labels: Tensor, heads: Tensor
    ) -> None:
        """Decide the open pairs of heads and rows in float64, in place."""
        which, row = is_open.cpu().nonzero(as_tuple=True)
        wide, labels = x.cpu().to(torch.float64), labels.cpu()
        answers = torch.empty(len(which), dtype=torch.bool)
        for part in blocks(len(which), heads[0].numel()):
            b, i = which[part], row[part]
            logits = self._logits(wide[i], heads[b])
            answers[part] = self._gap(logits.T[None].contiguous(), labels[i])[0] > 0
        device = flipped.device
        flipped[which.to(device), row.to(device)] = answers.to(device)
