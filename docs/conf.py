"""Configuration of sphinx, numpydoc and sphinx-gallery."""

from __future__ import annotations

import re
from typing import Any

import matplotlib
import torch

import skal

matplotlib.use("Agg")
torch.set_num_threads(1)  # the nets of the examples are too small to gain from more
project = "skal"
author = "The skal developers"
copyright = author
version = release = skal.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples/README.rst"]
templates_path = ["_templates"]
default_role = "code"
nitpicky = False

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings have the types
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1e9,
    "show_signature": False,
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = f"skal {release}"
html_show_sourcelink = False
html_theme_options = {
    "navigation_depth": 2,
    "show_toc_level": 2,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"changelog": [], "api": []}


def _unlink_inherited(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Show inherited attributes without a link, as they have no entry on the page."""

    def plain(match: re.Match[str]) -> str:
        return match[0] if match[1] in vars(obj) else f"**{match[1]}**"

    if what == "class":
        lines[:] = [re.sub(r":obj:`(\w+) <\.\1>`", plain, line) for line in lines]


def setup(app: Any) -> None:
    # After numpydoc, whose priority is 500.
    app.connect("autodoc-process-docstring", _unlink_inherited, priority=600)
