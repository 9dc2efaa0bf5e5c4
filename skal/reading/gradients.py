"""Gradients row by row, as outer products of what went in and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from skal.exceptions import UnsuitableLearnerError
from skal.reading.access import NetAccess, as_columns
from skal.reading.batches import length, split
from skal.reading.factors import (
    Factors,
    backward,
    input_of,
    is_bare_linear,
    linear_factors,
    whole_gradients,
)
from skal.rows import Rows
from skal.validation import check_option

__all__ = ["Factors", "GradientReader", "per_row_gradients"]

#: Rows that tell which layers take the rows of a batch for rows.
_FEW = 8
Directions = Callable[[Tensor], Tensor]


class GradientReader:
    r"""Reads :math:`\nabla_\theta \langle v, f(x; \theta) \rangle` row by row.

    Parameters
    ----------
    access : NetAccess
        The net f.
    space : {"gradients", "last_layer"}
        Whether theta is every trainable parameter or those of the head.
    directions : callable, optional
        Maps raw outputs ``(b, C)`` to vectors v ``(b, C, K)``, which count as
        constants: K gradients a row.  By default each output has its own gradient,
        K = C.

    Notes
    -----
    Linear layers that each row passes once give outer products, taken by hooks: one
    forward pass, K backward passes, and no gradient is ever written out.  A linear
    layer that a row passes several times (tied weights, sequences) gives their sum,
    and all other parameters are left to `torch.func`; both stand whole.  Hooks are
    removed and the net is not changed.  The order of the layers is the same for all
    batches.

    Examples
    --------
    >>> import numpy as np
    >>> from skal import NetRegressor
    >>> from skal.reading.access import NetAccess
    >>> from skal.reading.gradients import GradientReader
    >>> X = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    >>> net = NetRegressor(max_epochs=1, module__hidden_sizes=(8,)).fit(X, X[:, 0])
    >>> read = GradientReader(NetAccess(net), space="gradients")
    >>> [(a.shape[1], g.shape[1]) for a, g in read(torch.as_tensor(X))]
    [(2, 8), (9, 1)]
    """

    def __init__(
        self,
        access: NetAccess,
        space: str = "gradients",
        directions: Directions | None = None,
    ) -> None:
        check_option("space", space, ["gradients", "last_layer"])
        self.access = access
        self.space = space
        self.directions = directions
        self._chosen: tuple[dict[str, nn.Linear], list[str]] | None = None

    def __call__(self, batch: Any) -> list[Factors]:
        """Factors of each layer for the rows of a batch, ``access.batches`` gives."""
        if self._chosen is None:
            self._chosen = self._choose(split(batch, _FEW)[0])
        return self._read(batch, *self._chosen)

    # -- which parameters, and how --------------------------------------------------

    def _choose(self, batch: Any) -> tuple[dict[str, nn.Linear], list[str]]:
        """Linear layers for hooks, and names of parameters for `torch.func`."""
        module = self.access.module
        names = {id(p): name for name, p in module.named_parameters()}
        layers: dict[str, nn.Module] = dict(module.named_modules())
        if self.space == "last_layer":
            with torch.no_grad():
                self.access.forward_features(split(batch, 1)[0])
            head = self.access.head
            layers = {name: m for name, m in layers.items() if m is head}
            wanted = [p for p in head.parameters() if p.requires_grad]
        else:
            wanted = [p for p in module.parameters() if p.requires_grad]
        bare = {name: m for name, m in layers.items() if is_bare_linear(m)}
        # A parameter that another module holds too has more to its gradient.
        owners: dict[int, int] = {}
        for other in module.modules():
            for p in other.parameters(recurse=False):
                owners[id(p)] = owners.get(id(p), 0) + 1
        bare = {
            name: m
            for name, m in bare.items()
            if all(owners[id(p)] == 1 for p in m.parameters())
            and any(p.requires_grad for p in m.parameters())
        }
        with torch.no_grad():
            bare = self._hookable(batch, bare)
            # A number of something else may have been that of the rows by chance.
            bare = self._hookable(split(batch, max(1, length(batch) - 1))[0], bare)
        hooked = {id(p) for m in bare.values() for p in m.parameters()}
        others = [names[id(p)] for p in wanted if id(p) not in hooked]
        if not bare and not others:
            raise UnsuitableLearnerError(
                f"{type(module).__name__} has no trainable parameter to take gradients "
                f"of with space={self.space!r}."
            )
        return bare, others

    def _hookable(self, batch: Any, bare: dict[str, nn.Linear]) -> dict[str, nn.Linear]:
        """Keep the layers whose inputs have the rows of the batch for rows."""
        uses: dict[str, list[int]] = {name: [] for name in bare}

        def count(name: str) -> Callable[..., None]:
            def hook(_: nn.Module, args: Any, kwargs: Any) -> None:
                uses[name].append(len(input_of(args, kwargs)))

            return hook

        handles = [
            layer.register_forward_pre_hook(count(name), with_kwargs=True)
            for name, layer in bare.items()
        ]
        try:
            n_rows = len(self.access.forward(batch))
        finally:
            for handle in handles:
                handle.remove()
        return {
            name: layer
            for name, layer in bare.items()
            if all(n == n_rows for n in uses[name])
        }

    # -- reading --------------------------------------------------------------------

    @torch.enable_grad()
    def _read(
        self, batch: Any, bare: dict[str, nn.Linear], others: list[str]
    ) -> list[Factors]:
        # Detached parameters: the graph holds nothing but the layers asked for.
        fixed = {n: p.detach() for n, p in self.access.module.named_parameters()}
        passed: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in bare}

        def catch(name: str) -> Callable[..., Tensor]:
            def hook(_: nn.Module, args: Any, kwargs: Any, output: Tensor) -> Tensor:
                if not output.requires_grad:
                    output = output.detach().requires_grad_()
                passed[name].append((input_of(args, kwargs).detach(), output))
                return output.clone()  # what follows may write in place

            return hook

        handles = [
            layer.register_forward_hook(catch(name), with_kwargs=True)
            for name, layer in bare.items()
        ]
        try:
            outputs = as_columns(self.access.forward(batch, fixed)).flatten(1)
        finally:
            for handle in handles:
                handle.remove()
        vectors = self._vectors(outputs.detach())
        uses = [use for name in bare for use in passed[name]]
        gradients = backward(outputs, [output for _, output in uses], vectors)
        result, k = [], 0
        for name, layer in bare.items():
            n_uses = len(passed[name])
            result.append(
                linear_factors(
                    layer,
                    [inputs for inputs, _ in passed[name]],
                    gradients[k : k + n_uses],
                    vectors,
                )
            )
            k += n_uses
        if others:
            result.append(
                whole_gradients(self.access.module, fixed, others, batch, vectors)
            )
        return result

    def _vectors(self, outputs: Tensor) -> Tensor:
        """Directions v, ``(b, C, K)``."""
        if self.directions is not None:
            return self.directions(outputs).to(outputs.dtype)
        n_outputs = outputs.shape[1]
        eye = torch.eye(n_outputs, dtype=outputs.dtype, device=outputs.device)
        return eye.expand(len(outputs), n_outputs, n_outputs)


def per_row_gradients(
    access: NetAccess,
    rows: Rows,
    space: str = "gradients",
    directions: Directions | None = None,
) -> list[Factors]:
    """Read the factors of all rows; parameters as of `GradientReader`.

    Returns
    -------
    factors : list of Factors
        One a layer, each with ``len(rows)`` rows.
    """
    read = GradientReader(access, space, directions)
    flat = access.collect_all(
        rows, lambda batch: sum(map(tuple, read(batch)), ()), access.n_together
    )
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [Factors(inputs, outputs) for inputs, outputs in pairs]
