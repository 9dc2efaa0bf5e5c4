"""One batch out of several: whose turn it is picks its best row that is left."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skal.selection._picks import Picks

__all__ = ["interleave"]


def interleave(batches: Sequence[Picks], turns: Tensor) -> Picks:
    """Take rows from several batches by turns, each row once.

    Parameters
    ----------
    batches : sequence of Picks
        Best first.  As long as `turns`, they suffice whatever they have in common; one
        that has no turn may be empty.
    turns : Tensor of shape (n,), int64
        Number of the batch that each pick is taken from.

    Returns
    -------
    picks : Picks
        Pick k is the first row of ``batches[turns[k]]`` that was not taken before, with
        its score there, as float64.

    Raises
    ------
    ValueError
        If a batch runs out of rows.

    Examples
    --------
    >>> import torch
    >>> from skal.selection import Picks
    >>> from skal.selection._interleave import interleave
    >>> best = Picks(torch.tensor([4, 1, 0]), torch.tensor([3.0, 2.0, 1.0]))
    >>> far = Picks(torch.tensor([4, 2, 1]), torch.tensor([9.0, 8.0, 7.0]))
    >>> interleave([best, far], torch.tensor([0, 1, 0])).indices
    tensor([4, 2, 1])
    """
    rows = [zip(b.indices.tolist(), b.scores.tolist(), strict=True) for b in batches]
    taken: dict[int, float] = {}
    for turn in turns.tolist():
        for row, score in rows[turn]:
            if row not in taken:
                taken[row] = score
                break
        else:
            raise ValueError(
                f"Batch {turn} has no row left after {len(taken)} of {len(turns)} "
                "picks. Give batches as long as turns."
            )
    indices = torch.tensor(list(taken), dtype=torch.long)
    return Picks(indices, torch.tensor(list(taken.values()), dtype=torch.float64))
