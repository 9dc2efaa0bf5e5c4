"""The command ``skal``: a campaign on a file of rows, without a program.

`table` and `cells` read the file, `models` and `rules` have the models, strategies and
stopping rules that can be named, and `commands` does what is asked; `main` reads the
arguments.
"""

from skal.cli.arguments import main

__all__ = ["main"]
