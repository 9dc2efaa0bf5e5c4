"""What the page shows, and what becomes of the forms that it sends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
import numpy as np

from skal.campaign import Campaign
from skal.campaign.batch import cell_text
from skal.campaign.pool import id_text
from skal.labeling.curve import draw_curve
from skal.labeling.images import Images, draw_array, is_image
from skal.labeling.security import Session, check_name
from skal.labeling.worker import Progress, Worker

__all__ = ["Page", "Reply"]

#: Rows after the current one, and sayings before it, that are listed.
_N_NEXT, _N_SAID = 5, 10
#: Keys of the keyboard for classes.
_KEYS = "123456789"


@dataclass
class Reply:
    """A response, whatever sends it."""

    body: str | bytes
    status: int = 200
    kind: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def go_to(cls, path: str) -> Reply:
        """Let the browser load a page: reloading it does not send a form again."""
        return cls("", 303, headers={"Location": path})


class Page:
    """Shows rows to annotators, and records what they say.

    Parameters
    ----------
    campaign : Campaign
        Used under a lock, and never fitted here.
    worker : Worker
        Has another object of the same campaign.
    images : Images
    """

    def __init__(self, campaign: Campaign, worker: Worker, images: Images) -> None:
        self._campaign = campaign
        self._worker = worker
        self._images = images
        self._lock = Lock()
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("skal.labeling"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    # -- looking ----------------------------------------------------------------------

    def show(self, session: Session, query: Mapping[str, str]) -> Reply:
        """Show the next row, or the one that `query` names."""
        if not session.annotator:
            return self._render("name.html", session, error="")
        return self._show(session, query.get("row"))

    def state(self, session: Session, query: Mapping[str, str]) -> Reply:
        """Say whether rows are being chosen, for the script that waits for them."""
        choosing = self._worker.progress(session.annotator).choosing
        return Reply(json.dumps({"choosing": choosing}), kind="application/json")

    def image(self, session: Session, query: Mapping[str, str]) -> Reply:
        """Send the image that a cell names: `row` is an id, `column` a name."""
        try:
            with self._lock:
                cells = self._campaign.row(query.get("row", ""))
        except (KeyError, ValueError):
            cells = {}
        cell = cells.get(query.get("column", ""))
        if (drawn := draw_array(cell)) is not None:
            return Reply(drawn, kind="image/png")
        found = self._images.find(cell)
        if found is None:
            return self.message("There is no such image.", 404)
        path, kind = found
        return Reply(path.read_bytes(), kind=kind)

    def curve(self, session: Session, query: Mapping[str, str]) -> Reply:
        """Draw the learning curve."""
        rows = self._worker.curve()
        if not rows:
            return self.message("There is no learning curve yet.", 404)
        return Reply(draw_curve(rows), kind="image/svg+xml")

    def message(self, text: str, status: int) -> Reply:
        """Show a text and nothing else."""
        template = self._templates.get_template("message.html")
        return Reply(template.render(text=text, onward=""), status)

    def onward(self) -> Reply:
        """Go to the page from within the site, so that the browser sends the cookie."""
        template = self._templates.get_template("message.html")
        return Reply(template.render(text="Opening the page.", onward="/"))

    # -- forms ------------------------------------------------------------------------

    def name(self, session: Session, form: Mapping[str, str]) -> Reply:
        """Set the name of the annotator."""
        try:
            session.annotator = check_name(form.get("name", ""))
        except ValueError as error:
            return self._render("name.html", session, 422, error=str(error))
        return Reply.go_to("/")

    def retry(self, session: Session, form: Mapping[str, str]) -> Reply:
        """Ask for rows again after an error."""
        if session.annotator:
            self._worker.want(session.annotator)
        return Reply.go_to("/")

    def label(self, session: Session, form: Mapping[str, str]) -> Reply:
        """Record what is said of a row; it is on the disk when this returns."""
        name, row = session.annotator, form.get("row", "")
        if not name:
            return Reply.go_to("/")
        value = form.get("value", "")
        try:
            with self._lock:
                said = self._record(name, row, form.get("action", "answer"), form)
                few = self._has_few(name)
        except (KeyError, ValueError) as error:
            text = str(error.args[0] if isinstance(error, KeyError) else error)
            return self._show(session, row, f"Nothing was recorded: {text}", value)
        if few:
            self._worker.want(name)
        session.notice = f"{row}: {said}"
        return Reply.go_to("/")

    def _record(self, name: str, row: str, action: str, form: Mapping[str, str]) -> str:
        campaign = self._campaign
        before = {id_text(key): _token(*said) for key, *said in campaign.said(name)}
        if row not in before and row not in map(id_text, campaign.waiting(name).ids):
            raise ValueError(
                f"The row {row!r} is not reserved for {name}: it was never asked, or "
                "so long ago that others may be asked now."
            )
        value = None
        if action == "answer":
            value = campaign.labels.parse(form.get("value", ""))
        elif action not in ("skip", "cannot", "withdraw"):
            raise ValueError(f"There is no action {action!r}.")
        new = "" if action == "withdraw" else _token(action, value)
        stands = before.get(row, "")
        if stands == new:  # sent twice
            return _saying(action, value)
        if stands != form.get("before", ""):
            raise ValueError(
                f"What you said of {row!r} has changed since this page was made. Look "
                "at it again."
            )
        if action == "answer":
            campaign.tell([row], [value], name)
        elif action == "skip":
            campaign.skip([row], name)
        elif action == "cannot":
            campaign.cannot_label([row], name)
        else:
            campaign.withdraw([row], name)
        return _saying(action, value)

    # -- parts ------------------------------------------------------------------------

    def _has_few(self, name: str) -> bool:
        """Whether it is time to ask for more rows."""
        few = len(self._campaign.waiting(name)) <= self._worker.n // 2
        return few and self._campaign.n_left(name) > 0

    def _show(
        self,
        session: Session,
        wanted: str | None = None,
        error: str = "",
        typed: str = "",
    ) -> Reply:
        name, campaign = session.annotator, self._campaign
        # First, since rows may arrive meanwhile: otherwise there seem to be none.
        progress = self._worker.progress(name)
        with self._lock:
            ids = [id_text(key) for key in campaign.waiting(name).ids]
            said = [(id_text(key), *rest) for key, *rest in campaign.said(name)]
            before = {key: rest for key, *rest in said}
            if wanted is not None and wanted not in (*ids, *before):
                error = error or f"The row {wanted!r} is not reserved for {name}."
                wanted = None
            current = wanted if wanted is not None else next(iter(ids), None)
            others = [key for key in ids if key != current]
            rows = [self._cells(k) for k in others[:_N_NEXT]]
            cells = None if current is None else self._cells(current)
            status = campaign.status()
            few = self._has_few(name)
        if few and progress.error is None:
            self._worker.want(name)
            progress = Progress(True, None)
        earlier = list(before)
        if current in before:
            earlier = earlier[earlier.index(current) + 1 :]
        return self._render(
            "page.html",
            session,
            422 if error else 200,
            error=error,
            typed=typed,
            target=campaign.target,
            task=campaign.labels.task,
            classes=self._classes(),
            current=current,
            cells=cells,
            reasons=[] if current is None else self._worker.reasons(current),
            before=_token(*before[current]) if current in before else "",
            now=_saying(*before[current]) if current in before else "",
            rows=list(zip(others, rows, strict=False)),
            n_waiting=len(ids),
            said=[(key, _saying(*rest)) for key, *rest in said[:_N_SAID]],
            earlier=earlier[0] if earlier else None,
            status=status,
            progress=progress,
            has_curve=bool(self._worker.curve()),
            curve_error=self._worker.curve_error,
        )

    def _cells(self, row: str) -> list[tuple[str, str, str | None]]:
        """List name, text, and the address of an image or None, of each column."""
        found = []
        for name, value in self._campaign.row(row).items():
            address = None
            is_drawn = is_image(value)
            if is_drawn or self._images.find(value) is not None:
                query = urlencode({"row": row, "column": name}, quote_via=quote)
                address = f"/image?{query}"
            text = str(np.shape(value)) if is_drawn else cell_text(value)
            found.append((name, text, address))
        return found

    def _classes(self) -> list[tuple[str, str]]:
        """List the classes with their keys."""
        classes = [str(known) for known in self._campaign.labels.classes]
        keys = [*_KEYS, *[""] * len(classes)]
        return list(zip(classes, keys, strict=False))

    def _render(
        self, template: str, session: Session, code: int = 200, **values: Any
    ) -> Reply:
        notice, session.notice = session.notice, ""
        body = self._templates.get_template(template).render(
            csrf=session.csrf, annotator=session.annotator, notice=notice, **values
        )
        return Reply(body, code)


def _saying(kind: str, value: Any = None) -> str:
    """Write what is said of a row."""
    if kind == "answer":
        return f"{value:.15g}" if isinstance(value, float) else str(value)
    return {"skip": "skipped", "cannot": "cannot label", "withdraw": "taken back"}[kind]


def _token(kind: str, value: Any = None) -> str:
    """Write it such that a form can say what stood when it was made."""
    return f"{kind}={value!r}"
