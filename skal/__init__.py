"""Active learning for PyTorch nets inside the scikit-learn ecosystem."""

from skal._version import __version__

__all__ = ["__version__"]
