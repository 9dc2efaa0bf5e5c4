"""How to install packages that only some parts of skal need."""

from __future__ import annotations

__all__ = ["how_to_install"]


def how_to_install(extra: str) -> str:
    """Say how the packages of an extra are installed, for the end of a message.

    skal is installed from a checkout, as it is not on the Python package index.

    Parameters
    ----------
    extra : str
        One of those in `setup.cfg`.

    Examples
    --------
    >>> from skal._extras import how_to_install
    >>> how_to_install("save")
    "run python -m pip install '.[save]' in a checkout of skal"
    """
    return f"run python -m pip install '.[{extra}]' in a checkout of skal"
