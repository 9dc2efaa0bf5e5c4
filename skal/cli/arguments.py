"""Arguments of the command ``skal``, and its exit codes."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from skal._version import __version__
from skal.cli import commands
from skal.cli.models import MODELS

__all__ = ["main"]

_EXAMPLES = """examples:
  skal ask houses.csv --target SalePrice -n 20 -o to_label.csv
  skal tell houses.csv to_label.csv
  skal status houses.csv
  skal label houses.csv --target SalePrice --annotator ann
  skal export houses.csv -o labeled.csv --predict
  skal compare houses.csv --target SalePrice --strategies Random,LCMD,BAIT
  skal ask houses.csv --target SalePrice -o a.csv --test-share 0.1 \
      --stop 'budget=300 | stable & score=0.9'

Rows of the file whose target is filled in are labeled; the others are the pool. What
was asked and answered is kept in houses.csv.skal, beside the file.

exit codes: 0 done; 1 an error, which is named on stderr, and no label was recorded; 2
wrong arguments.
"""
#: Arguments of Python that errors name, and what they are called here.
_OPTIONS = {
    "pass strict=False": "pass --partly",
    "Lower n_initial, n_instances or n_queries": "Lower --start, -n or --queries",
    "create it with test_share=0.1, or pass rows drawn at random as X and y to the "
    "rule": "start it with --test-share 0.1",
    "test_share must": "--test-share must",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    code : int
        0, or 1 after an error, which is printed to stderr. Wrong arguments exit with 2.
    """
    options = _parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            options.run(options)
        except (ValueError, OSError, ImportError, KeyError) as error:
            text = str(error.args[0] if isinstance(error, KeyError) else error)
            for argument, option in _OPTIONS.items():
                text = text.replace(argument, option)
            print(f"skal: error: {text}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("skal: interrupted", file=sys.stderr)
            return 130
    return 0


def _show_warning(message: Any, category: Any, *args: Any, **kwargs: Any) -> None:
    print(f"skal: warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="skal",
        description="Choose which rows of a table to label, and learn from the labels.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    found = parser.add_subparsers(required=True, metavar="command")

    ask = _command(found, "ask", "write the rows to label next", commands.ask)
    _add_data(ask)
    _add_asking(ask)
    ask.add_argument(
        "-o",
        "--output",
        required=True,
        help="file to be filled in: .csv, .xlsx, or .json for Label Studio",
    )

    label = _command(found, "label", "label on a page in the browser", commands.label)
    _add_data(label)
    _add_asking(label)
    label.add_argument("--images", help="folder of images, whose paths are in cells")
    label.add_argument("--explain", action="store_true", help="show why rows are asked")
    label.add_argument("--host", default="127.0.0.1", help="to listen at (127.0.0.1)")
    label.add_argument("--port", type=int, default=0, help="to listen at (a free one)")
    label.add_argument(
        "--no-browser", action="store_true", help="only print the address of the page"
    )

    tell = _command(found, "tell", "record the labels of a file", commands.tell)
    _add_data(tell)
    tell.add_argument("file", help="what `skal ask` wrote, filled in, or an export")
    tell.add_argument("--annotator", help="who answered (who was asked)")
    tell.add_argument(
        "--partly",
        action="store_true",
        help="record the right rows even if others are wrong",
    )

    status = _command(found, "status", "print how far a campaign is", commands.status)
    _add_data(status)
    status.add_argument(
        "--fit",
        action="store_true",
        help="fit the model now, and show its error and what the stopping rule says",
    )

    export = _command(found, "export", "write the table with labels", commands.export)
    _add_data(export)
    export.add_argument("-o", "--output", required=True, help=".csv or .xlsx")
    export.add_argument(
        "--predict", action="store_true", help="add a column of predictions"
    )

    compare = _command(
        found,
        "compare",
        "compare strategies by campaigns on the labeled rows",
        commands.compare,
    )
    _add_data(compare, campaign=False)
    _add_model(compare)
    compare.add_argument("--strategies", help="names, separated by commas")
    compare.add_argument("-n", type=_positive, default=10, help="rows per query (10)")
    compare.add_argument("--start", type=_positive, default=20, help="first rows (20)")
    compare.add_argument("--queries", type=_positive, default=5, help="queries (5)")
    compare.add_argument("--folds", type=_positive, default=3, help="folds (3)")
    compare.add_argument("--scoring", help="a scorer of scikit-learn")
    compare.add_argument("--seed", type=int, default=0, help="of everything (0)")
    compare.add_argument("--store", help="folder to continue from, if interrupted")
    compare.add_argument("-o", "--output", help="CSV file of all scores")
    compare.add_argument("--html", help="HTML file of the summary")
    compare.add_argument("--plot", help="picture of the curves, such as .png")

    listed = _command(found, "strategies", "list strategies", commands.strategies)
    listed.add_argument("--task", choices=["classification", "regression"])
    return parser


def _command(found: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = found.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_data(parser: argparse.ArgumentParser, campaign: bool = True) -> None:
    parser.add_argument("data", help="file of rows: .csv, .xlsx or .parquet")
    if campaign:
        parser.add_argument(
            "--campaign", help="file or URL of the campaign (the file of rows + .skal)"
        )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", help="column of labels")
    parser.add_argument("--id", help="column of ids (found, or the number of the row)")
    parser.add_argument("--task", choices=["classification", "regression"])
    parser.add_argument("--model", choices=list(MODELS), help="model (nets)")


def _add_asking(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("-n", type=_positive, default=10, help="rows at a time (10)")
    parser.add_argument(
        "--strategy", help="see `skal strategies` (the recommended one)"
    )
    parser.add_argument("--classes", help="labels that may occur, separated by commas")
    parser.add_argument("--annotator", help="who will answer")
    parser.add_argument("--seed", type=int, help="of the campaign (0)")
    parser.add_argument(
        "--test-share",
        type=float,
        help="share of the rows held out for testing, such as 0.1 (0)",
    )
    parser.add_argument(
        "--stop",
        metavar="RULE",
        help="when to warn that it is time to stop: 'budget=200', 'stable' "
        "predictions, 'score=0.9' or 'gain=0.001' per label on the rows held out; "
        "joined by '|' (or) and '&' (and)",
    )
    parser.add_argument(
        "--append", action="store_true", help="rows were added to the file"
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value
