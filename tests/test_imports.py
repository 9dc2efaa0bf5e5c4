"""Imports point one way, and nothing is imported that is not needed."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import skal

ROOT = Path(skal.__file__).parent

_ANYWHERE = {
    *("_extras", "contexts", "exceptions", "rng", "shared_copy"),
    "validation",
}
#: What each part of skal may import of skal, itself and `_ANYWHERE` aside. A new part
#: needs a line here.
ALLOWED: dict[str, set[str]] = {
    "_extras": set(),
    "_files": set(),
    "_version": set(),
    "contexts": set(),
    "exceptions": set(),
    "rng": set(),
    "shared_copy": set(),
    "validation": set(),
    # pure functions of tensors
    "_numerics": set(),
    "spaces": {"_numerics"},
    "measures": {"_numerics"},
    "selection": {"_numerics", "measures", "spaces"},
    "adversarial": set(),
    # what is read of a learner and its pool
    "_tables": set(),
    "rows": {"_tables"},
    "_stacking": {"_tables", "rows"},
    "_equal_rows": {"_tables", "rows"},
    "nets": {"posteriors", "rows"},  # posteriors within predict(return_std=True)
    "reading": {
        "_numerics",
        "_stacking",
        "_tables",
        "nets",
        "rows",
        "spaces",
    },
    "posteriors": {"_numerics", "nets", "reading", "rows"},
    # where it comes together
    "strategies": {
        *("_equal_rows", "_numerics", "_stacking", "_tables", "adversarial"),
        *("measures", "nets", "posteriors"),
        *("reading", "rows", "selection", "spaces"),
    },
    "learners": {*("_stacking", "_tables", "nets", "reading", "rows", "strategies")},
    "saving": {"_files", "_version", "nets"},
    "display": {"rows", "strategies"},
    "simulation": {
        *("_files", "_tables", "_version", "display", "learners", "nets", "rows"),
        "strategies",
    },
    "campaign": {
        *("_files", "_tables", "_version", "evaluation", "learners", "rows"),
        *("simulation", "stopping", "strategies"),
    },
    "labeling": {"campaign"},
    "cli": {
        *("_version", "campaign", "labeling", "simulation", "stopping"),
        *("strategies", "tabular"),
    },
    "evaluation": {"_tables", "rows"},
    "stopping": {"rows"},
    "tabular": {"_tables", "nets", "posteriors", "reading"},
    "datasets": {"_tables"},
}
#: Parts that import torch and nothing else from outside.
PURE = {"adversarial", "measures", "selection", "spaces"}
#: The only part that may import modAL.
MODAL = {"learners"}


def _part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imports(source: str) -> set[str]:
    """Collect the modules that a source imports, at any depth, dotted."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            # `from skal import pool` imports a part, too.
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


#: All but the front door, which names what is public.
MODULES = sorted(set(ROOT.rglob("*.py")) - {ROOT / "__init__.py"})


@pytest.mark.parametrize("part", sorted({_part(path) for path in MODULES}))
def test_imports_point_one_way(part: str) -> None:
    assert part in ALLOWED, f"say in ALLOWED what skal.{part} may import"
    allowed = ALLOWED[part] | _ANYWHERE | {part}
    wrong = []
    for path in (path for path in MODULES if _part(path) == part):
        for name in _imports(path.read_text()):
            head, *rest = name.split(".")
            if head == "":
                right = False  # imports are absolute
            elif head == "skal":
                right = rest[0] in allowed
            elif head == "modAL":
                right = part in MODAL
            else:
                pure = head == "torch" or head in sys.stdlib_module_names
                right = part not in PURE or pure
            if not right:
                wrong.append(f"{path.relative_to(ROOT)}: {name}")
    assert wrong == []


def test_table_has_no_line_too_many() -> None:
    assert set(ALLOWED) <= {_part(path) for path in MODULES}


def test_every_import_is_declared() -> None:
    """No package is used that comes only as a dependency of another."""
    setup = configparser.ConfigParser()
    setup.read(ROOT.parent / "setup.cfg")
    extras = setup["options.extras_require"]
    required = setup["options"]["install_requires"] + extras["plot"] + extras["dask"]
    required += extras["campaign"] + extras["label"] + extras["save"]
    declared = set(re.findall(r"^[\w-]+", required, re.MULTILINE))
    heads = {
        name.split(".")[0] for path in MODULES for name in _imports(path.read_text())
    }
    distributions = {"sklearn": "scikit-learn", "modAL": "modAL-python"}
    distributions |= {"sqlalchemy": "SQLAlchemy", "jinja2": "Jinja2"}
    for_types = "typing_extensions"
    # Imported only once a learner is one of its processes, so that it is there.
    of_learner = "gpytorch"
    used = heads - {"skal", for_types, of_learner, *sys.stdlib_module_names}
    # dask arrays are recognized by what they can do.
    unimported = {"dask"}
    assert {distributions.get(head, head) for head in used} == declared - unimported


def test_finder_sees_every_form_of_import() -> None:
    source = """
import a.b
from c import d
def f():
    from e.f import g
    import h as i
"""
    assert _imports(source) == {"a.b", "c.d", "e.f.g", "h"}


def _loaded_after(statement: str, roots: set[str]) -> set[str]:
    """Name those packages of `roots` that a fresh process loads by a statement."""
    code = f"{statement}\nimport sys\nprint(*{roots!r}.intersection(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_skal_loads_no_extras() -> None:
    roots = {"modAL", "matplotlib", "dask", "distributed", "sqlalchemy", "openpyxl"}
    roots |= {"safetensors", "polars", "starlette", "uvicorn"}
    assert _loaded_after("import skal", roots) == {"modAL"}


def test_strategies_do_without_modal() -> None:
    # The package itself names the learners; a stand-in of it does not.
    statement = f"""
import sys, types
sys.modules["skal"] = types.ModuleType("skal")
sys.modules["skal"].__path__ = [{str(ROOT)!r}]
import skal.strategies
"""
    assert _loaded_after(statement, {"modAL", "skal"}) == {"skal"}


def test_parts_are_reached_from_the_package() -> None:
    code = """
import skal
assert "skal.datasets" not in sys.modules
assert callable(skal.datasets.load_ames)
assert skal.strategies.Margin().random_state is None
for name in dir(skal):
    assert getattr(skal, name) is not None
assert "importlib" not in dir(skal)
assert dir(skal.strategies) == sorted(skal.strategies.__all__)
try:
    skal.nothing
except AttributeError as error:
    assert "no attribute 'nothing'" in str(error)
"""
    subprocess.run([sys.executable, "-c", f"import sys{code}"], check=True)
