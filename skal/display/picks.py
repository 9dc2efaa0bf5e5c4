"""Pictures of one query: the scores of the pool, and where the picks are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA

from skal.display.axes import axes_or_new
from skal.rng import fill_seeds, resolve_rng
from skal.rows import as_dense
from skal.strategies import ScoreStrategy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PicksDisplay", "ScoreHistogramDisplay"]


class ScoreHistogramDisplay:
    """Histogram of the scores of a pool, in which the picks are marked.

    Use `from_strategy` to create one.

    Parameters
    ----------
    scores : ndarray of shape (m,)
        Of all rows of the pool; higher is more valuable.
    picked : ndarray of shape (n,)
        Positions of the picks.
    name : str, optional
        Of the strategy.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : BarContainer
        Number of rows by score.
    marks_ : LineCollection
        A line at the score of each pick.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.display import ScoreHistogramDisplay
    >>> from skal.strategies import Margin
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=500).fit(X[::5], y[::5])
    >>> display = ScoreHistogramDisplay.from_strategy(Margin(), model, X, 10)
    >>> display.ax_.get_xlabel()
    'score of Margin'
    """

    def __init__(
        self, scores: np.ndarray, picked: np.ndarray, name: str | None = None
    ) -> None:
        self.scores = scores
        self.picked = picked
        self.name = name

    @classmethod
    def from_strategy(
        cls,
        strategy: ScoreStrategy,
        learner: Any,
        X_pool: Any,
        n_instances: int = 1,
        **kwargs: Any,
    ) -> ScoreHistogramDisplay:
        """Score a pool, and pick from it.

        Parameters
        ----------
        strategy : ScoreStrategy
            If its ``random_state`` is None, a copy with a seed is used, so that it
            picks by the scores that are shown.
        learner, X_pool, n_instances
            As in `skal.strategies.QueryStrategy.select`.
        **kwargs
            Passed to `plot`.

        Raises
        ------
        TypeError
            If the strategy does not give each row a score.
        """
        if not isinstance(strategy, ScoreStrategy):
            raise TypeError(
                f"{type(strategy).__name__} picks rows together, and gives no score to "
                "the others: pass a ScoreStrategy, or look at PicksDisplay."
            )
        strategy = fill_seeds(clone(strategy), resolve_rng(None))
        scores = strategy.score_samples(learner, X_pool)
        picked = strategy.select(learner, X_pool, n_instances).indices
        return cls(scores, picked, type(strategy).__name__).plot(**kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        bins: Any = 30,
        bar_kw: Mapping[str, Any] | None = None,
        mark_kw: Mapping[str, Any] | None = None,
    ) -> ScoreHistogramDisplay:
        """Plot.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to plot on; by default, those of a new figure.
        bins : int or sequence, default=30
            As in `numpy.histogram`.
        bar_kw, mark_kw : dict, optional
            Passed to `Axes.hist` and `Axes.vlines`.

        Returns
        -------
        self : ScoreHistogramDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_or_new(ax)
        options = {"color": "0.7", "label": f"pool ({len(self.scores)} rows)"}
        _, _, self.bars_ = ax.hist(
            self.scores, bins=bins, **{**options, **(bar_kw or {})}
        )
        options = {"color": "C1", "label": f"picks ({len(self.picked)} rows)"}
        self.marks_ = ax.vlines(
            self.scores[self.picked],
            0,
            0.1,  # of the height
            transform=ax.get_xaxis_transform(),
            **{**options, **(mark_kw or {})},
        )
        ax.set_xlabel(f"score of {self.name}" if self.name else "score")
        ax.set_ylabel("rows")
        ax.legend()
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


class PicksDisplay:
    """The picks among the rows of the pool, in two dimensions.

    Use `from_strategy` to create one.

    Parameters
    ----------
    pool : ndarray of shape (m, 2)
        Coordinates of the pool.
    picked : ndarray of shape (n,)
        Positions of the picks, in the order picked.
    labeled : ndarray of shape (L, 2), optional
        Coordinates of the labeled rows.
    name : str, optional
        Of the strategy.
    shares : tuple of float, optional
        Shares of the variance along the two axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    pool_, picks_ : PathCollection
    labeled_ : PathCollection or None

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.display import PicksDisplay
    >>> from skal.strategies import Margin
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=500).fit(X[::5], y[::5])
    >>> display = PicksDisplay.from_strategy(Margin(), model, X, 10, X_labeled=X[::5])
    >>> display.ax_.get_xlabel()
    'first principal component (73% of variance)'
    """

    def __init__(
        self,
        pool: np.ndarray,
        picked: np.ndarray,
        labeled: np.ndarray | None = None,
        name: str | None = None,
        shares: tuple[float, float] | None = None,
    ) -> None:
        self.pool = pool
        self.picked = picked
        self.labeled = labeled
        self.name = name
        self.shares = shares

    @classmethod
    def from_strategy(
        cls,
        strategy: Any,
        learner: Any,
        X_pool: Any,
        n_instances: int = 1,
        *,
        X_labeled: Any = None,
        transform: Any = None,
        **kwargs: Any,
    ) -> PicksDisplay:
        """Pick from a pool, and project it by principal components.

        Parameters
        ----------
        strategy, learner, X_pool, n_instances
            As in `skal.strategies.QueryStrategy.select`.
        X_labeled : rows, optional
            Labeled rows, which are shown, too.
        transform : callable, optional
            Converts rows to numbers, ``(n, d)``, such as the ``transform`` of a fitted
            preprocessor. By default the rows themselves, which must be numbers.
        **kwargs
            Passed to `plot`.

        Raises
        ------
        ValueError
            If the rows are not numbers, or have fewer than two columns.

        Notes
        -----
        Each column is divided by its standard deviation over the pool, and so are the
        labeled rows; the components are those of the pool. Distances in the picture
        are not those in the space in which a strategy compares rows.
        """
        pool = _numbers(X_pool, transform)
        mean, std = pool.mean(axis=0), pool.std(axis=0)
        std[std == 0] = 1.0
        pca = PCA(2, svd_solver="full").fit((pool - mean) / std)
        labeled = None
        if X_labeled is not None:
            rows = _numbers(X_labeled, transform)
            labeled = pca.transform((rows - mean) / std)
        picked = strategy.select(learner, X_pool, n_instances).indices
        first, second = pca.explained_variance_ratio_
        return cls(
            pca.transform((pool - mean) / std),
            picked,
            labeled,
            type(strategy).__name__,
            (float(first), float(second)),
        ).plot(**kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        pool_kw: Mapping[str, Any] | None = None,
        pick_kw: Mapping[str, Any] | None = None,
        labeled_kw: Mapping[str, Any] | None = None,
    ) -> PicksDisplay:
        """Plot.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to plot on; by default, those of a new figure.
        pool_kw, pick_kw, labeled_kw : dict, optional
            Passed to each `Axes.scatter`.

        Returns
        -------
        self : PicksDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_or_new(ax)
        options = {"s": 8, "color": "0.75", "label": "pool"}
        self.pool_ = ax.scatter(*self.pool.T, **{**options, **(pool_kw or {})})
        self.labeled_: Any = None
        if self.labeled is not None:
            options = {"s": 20, "color": "C0", "marker": "s", "label": "labeled"}
            self.labeled_ = ax.scatter(
                *self.labeled.T, **{**options, **(labeled_kw or {})}
            )
        name = f"picks of {self.name}" if self.name else "picks"
        options = {"s": 30, "color": "C1", "marker": "x", "label": name}
        picks = self.pool[self.picked]
        self.picks_ = ax.scatter(*picks.T, **{**options, **(pick_kw or {})})
        shares = ["", ""]
        if self.shares is not None:
            shares = [f" ({share:.0%} of variance)" for share in self.shares]
        ax.set_xlabel(f"first principal component{shares[0]}")
        ax.set_ylabel(f"second principal component{shares[1]}")
        ax.legend()
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def _numbers(X: Any, transform: Any) -> np.ndarray:
    rows = X if transform is None else transform(X)
    try:
        found = np.asarray(as_dense(rows), dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The rows are not numbers: pass transform=, such as the `transform` of a "
            f"fitted preprocessor ({error})."
        ) from error
    found = found.reshape(len(found), -1)
    if found.shape[1] < 2 or not np.isfinite(found).all():
        raise ValueError(
            "Principal components need two columns or more without missing values, got "
            f"shape {found.shape}: pass transform=, such as the `transform` of a "
            "fitted preprocessor."
        )
    return found
