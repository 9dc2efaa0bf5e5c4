"""What the command ``skal`` does."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pandas as pd

from skal.campaign import Campaign
from skal.cli.models import (
    default_strategy,
    list_strategies,
    make_model,
    make_strategy,
)
from skal.cli.rules import make_rule
from skal.cli.table import Table, read_table
from skal.simulation import compare_strategies

__all__ = ["ask", "compare", "export", "label", "status", "strategies", "tell"]


def ask(options: Namespace) -> None:
    """Write the rows to label next."""
    output = Path(options.output)
    if not output.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(output.parent)!r}.")
    campaign = _open(options)
    batch = campaign.ask(options.n, options.annotator)
    if not len(batch):
        _say("No row is left to ask for.")
        return
    write: Any = {".xlsx": batch.to_excel, ".json": batch.to_label_studio}.get(
        output.suffix.lower(), batch.to_csv
    )
    write(output)
    labeled = campaign.status().states["answered"]
    _say(
        f"{len(batch)} rows to label are in {output}, chosen by {labeled} labels. Fill "
        f"in the column {campaign.target!r}, then: skal tell {options.data} {output}"
    )


def label(options: Namespace) -> None:
    """Serve a page on which people label."""
    # Here, so that other commands do without its packages.
    from skal.labeling import check_options, serve

    check_options(options.annotator, options.images)
    campaign = _open(options)
    if options.host not in ("127.0.0.1", "localhost", "::1"):
        _say(
            f"warning: at {options.host}, other machines reach the page. Labels and "
            "the token of the address go over the network unencrypted."
        )
    _say("Label at the address below; Ctrl-C ends the server. Each label is kept.")
    serve(
        campaign,
        annotator=options.annotator,
        images=options.images,
        n=options.n,
        explain=options.explain,
        host=options.host,
        port=options.port,
        open_browser=not options.no_browser,
    )


def _open(options: Namespace) -> Campaign:
    return _start(options) if _is_new(options) else _continue(options)


def _start(options: Namespace) -> Campaign:
    table = _read_labels(options)
    task = options.task or table.task()
    classes = options.classes and [c.strip() for c in options.classes.split(",")]
    model = options.model or "nets"
    strategy = options.strategy or default_strategy(model, task, options.n)
    seed = 0 if options.seed is None else options.seed
    notes = {
        "id": options.id,
        "task": task,
        "model": model,
        "strategy": strategy,
        "seed": seed,
        "stop": options.stop,
    }
    campaign = Campaign.create(
        _campaign(options),
        table.X,
        **_parts(notes, table.X),
        y=table.y,
        task=task,
        classes=classes or None,
        target=options.target,
        id_name=table.id_name,
        display=table.display,
        test_share=options.test_share or 0.0,
        random_state=seed,
        notes=notes,
    )
    begun = campaign.status()
    known = f"{begun.states['answered']} have labels"
    if begun.n_test:
        known += f", and {begun.n_test} are held out for testing"
    _say(
        f"Started {_campaign(options)}: {len(table.X)} rows with ids from "
        f"{table.id_name!r}, of which {known}; {task}, model "
        f"{notes['model']}, strategy {notes['strategy']}."
    )
    return campaign


def _continue(options: Namespace) -> Campaign:
    notes, target = _read_notes(options)
    _check_fixed(options, Campaign.open(_campaign(options)), notes)
    for name in ("model", "strategy", "stop"):
        notes[name] = getattr(options, name) or notes.get(name)
    table = read_table(options.data, target, notes["id"])
    campaign = Campaign.open(
        _campaign(options),
        table.X,
        **_parts(notes, table.X),
        display=table.display,
        append=options.append,
    )
    _tell_labels_of(table, campaign)
    return campaign


def _check_fixed(options: Namespace, campaign: Campaign, notes: dict[str, Any]) -> None:
    """Raise if an option asks for what was fixed at the start of the campaign."""
    fixed = {
        "target": campaign.target,
        "id": notes["id"],
        "task": notes["task"],
        "classes": ",".join(map(str, campaign.labels.classes)),
        "seed": notes["seed"],
        "test_share": campaign.test_share,
    }
    for name, value in fixed.items():
        if getattr(options, name) not in (None, value):
            raise ValueError(
                f"--{name.replace('_', '-')} was fixed at the start of this campaign: "
                f"it is {value!r}. Leave it out, or start another one by --campaign."
            )


def _tell_labels_of(table: Table, campaign: Campaign) -> None:
    """Record labels that were written or corrected in the table since the last time."""
    known = pd.Series(dtype=object) if table.y is None else table.y.dropna()
    labeled = set(campaign.export()[campaign.target].dropna().index)
    events = campaign.events().query("annotator == 'start' and kind == 'answer'")
    own = dict(zip(events["id"], events["value"], strict=True))  # the last one counts
    parsed = {key: campaign.labels.parse(str(value)) for key, value in known.items()}
    new = {
        key: value
        for key, value in parsed.items()
        if key not in labeled or (key in own and own[key] != value)
    }
    if new:
        report = campaign.tell(list(new), list(new.values()), "start")
        _say(f"Labels in the table itself were recorded: {report}")


def tell(options: Namespace) -> None:
    """Record the labels of a file."""
    notes, target = _read_notes(options)
    table = read_table(options.data, target, notes["id"])
    campaign = Campaign.open(_campaign(options), table.X, display=table.display)
    is_json = Path(options.file).suffix.lower() == ".json"
    record = campaign.from_label_studio if is_json else campaign.tell_file
    report = record(options.file, options.annotator, strict=not options.partly)
    print(report)
    print(campaign.status())


def status(options: Namespace) -> None:
    """Print how far a campaign is."""
    if not options.fit:
        print(Campaign.open(_campaign(options)).status())
        return
    notes, target = _read_notes(options)
    table = read_table(options.data, target, notes["id"])
    campaign = Campaign.open(_campaign(options), table.X, **_parts(notes, table.X))
    print(campaign.status(fit=True))


def export(options: Namespace) -> None:
    """Write the table with the labels of the campaign, and on request predictions."""
    notes, target = _read_notes(options)
    table = read_table(options.data, target, notes["id"])
    campaign = Campaign.open(_campaign(options), table.X, **_parts(notes, table.X))
    whole = table.whole.drop(columns=[n for n in (table.id_name,) if n in table.whole])
    labels = campaign.export()[target].reindex(whole.index)
    whole[target] = labels.astype(object).where(labels.notna(), "")
    if options.predict:
        whole[f"{target}_predicted"] = campaign.predict().reindex(whole.index)
    output = Path(options.output)
    if output.suffix.lower() == ".xlsx":
        whole.to_excel(output)
    else:
        whole.to_csv(output, encoding="utf-8-sig")
    _say(f"{int(labels.notna().sum())} of {len(whole)} rows have labels, in {output}.")


def compare(options: Namespace) -> None:
    """Compare strategies by campaigns on the rows that have labels."""
    table = _read_labels(options)
    task = options.task or table.task()
    y = table.y.dropna()  # type: ignore[union-attr]
    model = options.model or "nets"
    default = f"Random,{default_strategy(model, task, options.n)}"
    names = [name.strip() for name in (options.strategies or default).split(",")]
    found = [make_strategy(name, task) for name in names]
    comparison = compare_strategies(
        make_model(model, task),
        {type(strategy).__name__: strategy for strategy in found},
        table.X.loc[y.index],
        y.astype(float).to_numpy() if task == "regression" else y.to_numpy(),
        cv=options.folds,
        n_initial=options.start,
        n_instances=options.n,
        n_queries=options.queries,
        scoring=options.scoring,
        random_state=options.seed,
        verbose=int(sys.stderr.isatty()),
        store=options.store,
    )
    print(comparison)
    if options.output:
        comparison.data.to_csv(options.output, index=False)
    if options.html:
        Path(options.html).write_text(comparison.to_html(), encoding="utf-8")
    if options.plot:
        figure: Any = comparison.plot().figure_
        figure.savefig(options.plot)


def strategies(options: Namespace) -> None:
    """List the strategies that can be named."""
    found = list_strategies(options.task)
    width = max(map(len, found))
    for name, line in found.items():
        print(f"{name:{width}}  {line}")


# -- parts ----------------------------------------------------------------------------


def _read_labels(options: Namespace) -> Table:
    """Read the file of rows, of which some have labels."""
    if options.target is None:
        raise ValueError("Name the column of labels: --target.")
    return read_table(options.data, options.target, options.id)


def _campaign(options: Namespace) -> str:
    """Name the campaign: as given, or a file beside the data."""
    return options.campaign or f"{options.data}.skal"


def _is_new(options: Namespace) -> bool:
    try:
        Campaign.open(_campaign(options))
    except FileNotFoundError:
        return True
    return False


def _read_notes(options: Namespace) -> tuple[dict[str, Any], str]:
    campaign = Campaign.open(_campaign(options))
    if not isinstance(campaign.notes, dict):
        raise ValueError(
            f"The campaign {_campaign(options)} was made by a program, which has its "
            "model: continue it there."
        )
    return dict(campaign.notes), campaign.target


def _parts(notes: dict[str, Any], X: Any) -> dict[str, Any]:
    return {
        "stop": make_rule(notes.get("stop"), X, notes["seed"]),
        "model": make_model(notes["model"], notes["task"]),
        "strategy": make_strategy(notes["strategy"], notes["task"]),
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr)
