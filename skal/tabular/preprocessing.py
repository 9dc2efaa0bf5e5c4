"""A transformer from mixed tables to numbers."""

from __future__ import annotations

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder

from skal.tabular.columns import ColumnsOf
from skal.tabular.dates import DateParts
from skal.tabular.levels import Ranks, Texts
from skal.tabular.numbers import RobustAsinhScaler

__all__ = ["make_tabular_preprocessor"]


def make_tabular_preprocessor(
    *,
    linear_range: float | None = 2.0,
    min_frequency: int | float | None = None,
    max_categories: int | None = 50,
) -> ColumnTransformer:
    """Make a transformer from mixed tables to numbers on which a net can be trained.

    Parameters
    ----------
    linear_range : float or None, default=2.0
        A number ``z``, scaled to unit variance, becomes
        ``linear_range * asinh(z / linear_range)``: it grows linearly up to about there,
        and as a logarithm beyond. None leaves it linear.
    min_frequency : int, float or None, default=None
        Levels with fewer rows in `fit` (a float: with a smaller share of them) form one
        level. By default a level may have a single row.
    max_categories : int or None, default=50
        The largest number of columns for the levels of a column; the rarest ones form
        one level.

    Returns
    -------
    preprocessor : ColumnTransformer
        Unfitted. `fit` decides what a column holds, and the transformers are named for
        it:

        - ``number``: numbers and durations. Scaled by median and interquartile range
          (by half the range, if the quartiles are equal); large ones grow slowly.
          Missing values become the median, and one more column says where, if values
          are missing in `fit`. Strings are converted if ten or more different ones are
          numbers and few are not, such as ``"?"`` and ``"<5"``, which become missing.
          Columns of nothing but digits, such as ``"80331"``, may be codes and are
          levels.
        - ``ordered``: ordered categories. The rank among the declared levels, as a
          number.
        - ``date``: dates, also strings such as ``"2024-05-31"`` or
          ``"2024-05-31 12:00"``. Year, month, day of the month, day of the week, hour,
          and the days since the first date in `fit`, as numbers; parts that do not
          vary in `fit` are left out.
        - ``binary``: two levels, also True and False. One column of -1 and 1, and 0 for
          missing and unknown values; one more column says where values are missing, if
          some are in `fit`.
        - ``level``: other strings, categories and objects. One-hot encoded; a missing
          value is a level. An unknown level becomes the level of the rare ones, if
          there is one, or else zeros.

        Columns that are constant in `fit` or identify rows are dropped. Rows can be
        DataFrames of pandas, polars and pyarrow, and arrays.

    Warns
    -----
    UserWarning
        In `fit`, if a column is dropped because it identifies rows: at least 95 % of 20
        or more values are distinct, and they are levels, or integers in a column with a
        name such as ``id`` or ``order_id``. Also in `fit`, if strings are read as
        numbers, or are levels though they look like numbers (``"1,200"``). Whenever
        strings in a column of numbers become missing, or dates that cannot be read or
        are not between 1678 and 2261. In `transform`, if five or more cells of a
        column, and at least half of them, have levels that were not in `fit`.

    Raises
    ------
    ValueError
        If `linear_range` is not positive. In `fit`, if a column holds free text (at
        least 95 % of ten or more values are distinct, of eight or more words each), or
        if all columns identify rows. Whenever a number is infinite, or a column that
        held nothing but numbers in `fit` has a cell of another type.

    See Also
    --------
    make_tabular_regressor, make_tabular_classifier : Models with this step.

    Notes
    -----
    With few labeled rows a column is often nearly constant in `fit`, and typical values
    of other rows are hundreds of its scales away. If they stayed linear, a single such
    value would dominate a net's prediction, and with it the error over all rows. A
    bound as that of RealMLP, ``z / sqrt(1 + (z / 3)**2)``, would make large values
    almost equal: the errors of nets fitted to 100 rows of a table with heavy tails
    (``cpu_act``) were twice as large.

    Codes that are numbers, such as postal codes, are levels only if the column holds
    categories, or strings that consist of digits only. If nothing but constant columns
    is left, these are kept, so that a model predicts the mean.

    Examples
    --------
    >>> import pandas as pd
    >>> from skal.tabular import make_tabular_preprocessor
    >>> area, kind = [50.0, 70.0, None, 90.0], ["flat", "house", "flat", None]
    >>> X = pd.DataFrame({"area": area, "kind": kind})
    >>> preprocessor = make_tabular_preprocessor().fit(X)
    >>> preprocessor.transform(X).shape
    (4, 4)
    >>> preprocessor.get_feature_names_out()[:3].tolist()
    ['number__area', 'number__missingindicator_area', 'binary__kind']
    """
    if linear_range is not None and not linear_range > 0:
        raise ValueError(
            f"linear_range must be positive or None, got {linear_range!r}."
        )
    one_hot = OneHotEncoder(
        min_frequency=min_frequency,
        max_categories=max_categories,
        handle_unknown="infrequent_if_exist",
        sparse_output=False,
    )
    steps = {
        "number": (RobustAsinhScaler(linear_range), _zeros(add_indicator=True)),
        "ordered": (
            Ranks(),
            RobustAsinhScaler(linear_range),
            _zeros(add_indicator=True),
        ),
        "date": (DateParts(), RobustAsinhScaler(linear_range), _zeros()),
        "binary": (Ranks(), MinMaxScaler((-1, 1)), _zeros(add_indicator=True)),
        "level": (Texts(), one_hot),
    }
    return ColumnTransformer(
        [
            *((k, make_pipeline(*parts), ColumnsOf(k)) for k, parts in steps.items()),
            ("id", "drop", ColumnsOf("id")),
            ("constant", "drop", ColumnsOf("constant")),
        ],
        sparse_threshold=0,
    )


def _zeros(add_indicator: bool = False) -> SimpleImputer:
    """Missing values become 0, the center of scaled ones."""
    return SimpleImputer(
        strategy="constant",
        fill_value=0.0,
        add_indicator=add_indicator,
        keep_empty_features=True,
    )
