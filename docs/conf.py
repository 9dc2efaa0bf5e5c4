"""Configuration of sphinx, numpydoc and sphinx-gallery."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib
import torch

import skal

sys.path.insert(0, str(Path(__file__).parents[1]))
from docs.building import fetch_inventories

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
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
myst_heading_anchors = 3
# Links to other projects.  Without a network, these are left out, in silence: a build
# needs no more than a package index.  SKAL_INTERSPHINX=0 does not even try.
if os.environ.get("SKAL_INTERSPHINX") != "0":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = fetch_inventories(
        {
            "python": "https://docs.python.org/3",
            "numpy": "https://numpy.org/doc/stable",
            "pandas": "https://pandas.pydata.org/docs",
            "sklearn": "https://scikit-learn.org/stable",
            "skorch": "https://skorch.readthedocs.io/en/stable",
            "torch": "https://docs.pytorch.org/docs/stable",
        },
        Path(__file__).parent / "_build" / "inventories",
    )
# sphinx-gallery writes its times twice, once for several galleries.
exclude_patterns = ["_build", "examples/README.rst", "sg_execution_times.rst"]
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
    "capture_repr": ("_repr_html_",),  # tables, but not what matplotlib returns
    "reset_modules": ("matplotlib", "docs.building.refuse_warnings"),
    "reset_modules_order": "both",
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
# Pages without others below them.
html_sidebars = {"api": [], "changelog": [], "index": []}


def _unlink_inherited(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Show inherited attributes without a link, as they have no entry on the page."""

    def plain(match: re.Match[str]) -> str:
        return match[0] if match[1] in vars(obj) else f"**{match[1]}**"

    if what == "class":
        lines[:] = [re.sub(r":obj:`(\w+) <\.\1>`", plain, line) for line in lines]


def _write_result_pages(app: Any) -> None:
    """Make a page of each result, which stays where its benchmark wrote it."""
    results = Path(__file__).parents[1] / "benchmarks" / "results"
    pages = Path(__file__).parent / "results"
    pages.mkdir(exist_ok=True)
    for page in pages.glob("*.md"):
        page.unlink()
    for result in results.glob("*.md"):
        text = f"```{{include}} ../../benchmarks/results/{result.name}\n"
        text += ":relative-images:\n```\n"
        (pages / result.name).write_text(text, encoding="utf-8")


def setup(app: Any) -> None:
    app.connect("builder-inited", _write_result_pages)
    # After numpydoc, whose priority is 500.
    app.connect("autodoc-process-docstring", _unlink_inherited, priority=600)
