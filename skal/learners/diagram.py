"""HTML diagram of a learner, as notebooks show it."""

from __future__ import annotations

from html import escape
from typing import Any

from sklearn import get_config
from sklearn.utils import estimator_html_repr

from skal.rows import n_rows

__all__ = ["DiagramMixin"]


class DiagramMixin:
    """Mixin that puts labeled rows and query strategy above scikit-learn's diagram."""

    _strategy: Any

    @property
    def _repr_html_(self) -> Any:
        # IPython looks it up; it exists if the setting of scikit-learn is "diagram".
        if get_config()["display"] != "diagram":
            raise AttributeError("_repr_html_ needs the setting display='diagram'.")
        return self._diagram

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = {"text/plain": repr(self)}
        if get_config()["display"] == "diagram":
            bundle["text/html"] = self._diagram()
        return bundle

    def _diagram(self) -> str:
        called = self._strategy()
        strategy = getattr(called, "__name__", repr(called))
        counts = [
            0 if member.X_training is None else n_rows(member.X_training)
            for member in getattr(self, "learner_list", [self])
        ] or [0]
        low, high = min(counts), max(counts)
        rows = f"{low}" if low == high else f"{low} to {high}"
        return (
            f"<p>{type(self).__name__}: {rows} labeled rows, query strategy "
            f"<code>{escape(strategy)}</code></p>{estimator_html_repr(self)}"
        )
