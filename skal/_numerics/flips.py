"""Which rows change class under which perturbed heads, whatever the rounding."""

from __future__ import annotations

import torch
from torch import Tensor

from skal._numerics.matmul import factor_rounding, linear

__all__ = ["HeadRows", "stack_head"]

# Logits held at once: on the CPU as many as fit its cache.
_BLOCK_LOGITS = {"cpu": 1 << 20, "other": 1 << 26}
_BLOCK_WIDE = 1 << 20  # numbers widened to float64 at once


def stack_head(weight: Tensor, bias: Tensor | None) -> Tensor:
    """Head of shape (C, d [+ 1]) in float64 on the CPU, its bias in the last column."""
    parts = [weight] if bias is None else [weight, bias[:, None]]
    return torch.cat([p.detach().cpu().to(torch.float64) for p in parts], dim=1)


def _as_gap(heads: Tensor) -> Tensor:
    """Make two rivals one row whose sign decides; leave other heads as they are.

    Two classes need half the products this way. Axis -2 is that of the classes.
    """
    if heads.shape[-2] == 2:
        return heads[..., 1:, :] - heads[..., :1, :]
    return heads


class HeadRows:
    """Inputs of a fitted linear head, with what its perturbation is compared to.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Inputs of the head, on any device.
    head : Tensor of shape (C, d) or (C, d + 1)
        As :func:`stack_head` gives it. With C = 1 the sign of the logit is the class.

    Attributes
    ----------
    labels : Tensor of shape (m,)
        Class given by the head. The lowest class wins a tie.
    reach : Tensor of shape (m,)
        Gap of the logits to the closest rival over the norm of the row (with the 1 of
        the bias): a row flips only under a change at least this large.

    Notes
    -----
    The products run in the precision of the features (at least float32). Where their
    rounding could decide, they are repeated in float64, so that the answer does not
    hang on how rows and heads are put in blocks, nor on the number of threads.
    """

    def __init__(self, features: Tensor, head: Tensor) -> None:
        self.features = features.detach()
        self._head = _as_gap(head)
        self._n_features = features.shape[1]
        wide = features.dtype == torch.float64
        self._dtype = torch.float64 if wide else torch.float32
        labels, gaps, norms = [], [], []
        has_bias = head.shape[1] > self._n_features
        for block in self.features.split(max(1, _BLOCK_WIDE // head.shape[1])):
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
        # A row of zeros and no bias: no head ever flips it.
        reach = torch.where(norm > 0, torch.cat(gaps) / norm, torch.inf)
        self.labels = torch.cat(labels).to(device)
        self.reach = reach.to(device, self._dtype)
        self._norm = norm.to(device, self._dtype)

    def __len__(self) -> int:
        return len(self.labels)

    def _logits(self, x: Tensor, heads: Tensor) -> Tensor:
        """Logits (n, C) of rows x (n, d) under one head, or a head for each row."""
        weight = heads[..., : self._n_features]
        logits = x @ weight.T if heads.ndim == 2 else (weight @ x[:, :, None])[..., 0]
        if heads.shape[-1] > self._n_features:
            logits = logits + heads[..., -1]
        return logits

    def can_flip(self, noise: Tensor) -> Tensor:
        """Rows that any of B perturbations of shape (B, C, d [+ 1]) could flip at all.

        By Cauchy and Schwarz, a conservative test.
        """
        norms = torch.linalg.vector_norm(_as_gap(noise), dim=-1)
        if norms.shape[1] > 1:  # the difference of two rows of noise is what counts
            norms = norms.topk(2, dim=1).values.sum(dim=1)
        return self.reach <= float(norms.max()) * (1 + 1e-5)

    def flips(self, noise: Tensor, rows: Tensor | None = None) -> Tensor:
        """Tell which of the rows get another class from which perturbed heads.

        Parameters
        ----------
        noise : Tensor of shape (B, C, d) or (B, C, d + 1)
            Added to the head; float64 on the CPU.
        rows : Tensor of shape (n,), optional
            Row numbers; all if None.

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
        limit = _BLOCK_LOGITS["cpu" if device.type == "cpu" else "other"]
        step = max(64, limit // len(flat))
        largest = float(torch.linalg.vector_norm(heads, dim=-1).max())
        # Bound on the rounding of a product of d numbers, for both logits compared.
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
            doubt = gap.abs_().sub_(self._norm[index] * bound)
            if self._dtype != torch.float64 and bool(doubt.amin() < 0):
                self._resolve(flipped, doubt < 0, x, labels, heads)
            out[:, part] = flipped
        return out

    @staticmethod
    def _gap(logits: Tensor, labels: Tensor) -> Tensor:
        """How far the best rival is above the class (labels (n,)), shape (B, n).

        `logits` has shape (B, C, n) and is written over.
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
        self, flipped: Tensor, doubt: Tensor, x: Tensor, labels: Tensor, heads: Tensor
    ) -> None:
        """Decide doubtful pairs of heads and rows in float64, in place."""
        which, row = doubt.cpu().nonzero(as_tuple=True)
        wide, labels = x.cpu().to(torch.float64), labels.cpu()
        answers = []
        step = max(1, _BLOCK_WIDE // heads[0].numel())
        for b, i in zip(which.split(step), row.split(step), strict=True):
            logits = self._logits(wide[i], heads[b])
            answers.append(self._gap(logits.T[None].contiguous(), labels[i])[0] > 0)
        device = flipped.device
        flipped[which.to(device), row.to(device)] = torch.cat(answers).to(device)
