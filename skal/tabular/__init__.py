"""Tables of mixed columns: their preprocessing, and models that take them as they are.

`columns` decides what each column holds; `numbers`, `levels` and `dates` convert them;
`preprocessing` puts these steps together, and `models` adds the estimator.
"""

from skal.tabular.models import make_tabular_classifier, make_tabular_regressor
from skal.tabular.preprocessing import make_tabular_preprocessor

__all__ = [
    "make_tabular_classifier",
    "make_tabular_preprocessor",
    "make_tabular_regressor",
]
