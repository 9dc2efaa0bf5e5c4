"""The page by HTTP: routes, and a server on this machine."""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qsl

from skal._extras import how_to_install
from skal.campaign import Campaign
from skal.campaign.watching import stable_predictions
from skal.exceptions import CampaignDatabaseError
from skal.labeling.images import Images
from skal.labeling.page import Page, Reply
from skal.labeling.security import HEADERS, Gate, Session, check_name
from skal.labeling.worker import Worker

__all__ = ["LabelingApp", "make_app", "serve"]

#: Bytes of a form.
_LARGEST = 64 * 1024
_STATIC = {"page.css": "text/css", "page.js": "text/javascript"}

Handler = Callable[[Session, Mapping[str, str]], Reply]


@dataclass
class LabelingApp:
    """An ASGI application, made by `make_app`.

    Attributes
    ----------
    gate : Gate
        Has the token that opens a session.
    worker : Worker
    """

    gate: Gate
    worker: Worker
    _page: Page
    _routes: Any

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Refuse a request, or pass it on; each answer has the headers of security."""
        if scope["type"] != "http":
            await self._routes(scope, receive, send)
            return

        async def send_safely(message: Any) -> None:
            if message["type"] == "http.response.start":
                ours = {k.lower().encode(): v.encode() for k, v in HEADERS.items()}
                message = {**message, "headers": [*message["headers"], *ours.items()]}
            await send(message)

        headers = {
            k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]
        }
        refusal = self.gate.refusal(scope["method"], headers)
        answer = self._routes
        if refusal is not None:
            answer = _respond(self._page.message(refusal, 403))
        await answer(scope, receive, send_safely)

    @property
    def start_path(self) -> str:
        """Path and token of the address that opens a session."""
        return f"/start?token={self.gate.token}"

    def close(self, timeout: float = 2.0) -> None:
        """End the work in the background; wait some seconds for what is being done."""
        self.worker.close(timeout)


def check_options(annotator: str | None, images: Any) -> tuple[str, Images]:
    """Check the name and the folder of `make_app`, before anything is changed.

    Raises
    ------
    ValueError, NotADirectoryError
        If one is wrong.
    ImportError
        Without Starlette or uvicorn.
    """
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise ImportError(
                f"The page needs {package}, which is not installed: "
                f"{how_to_install('label')}."
            )
    return "" if annotator is None else check_name(annotator), Images(images)


def make_app(
    campaign: Campaign,
    *,
    annotator: str | None = None,
    images: Any = None,
    n: int = 10,
    explain: bool = False,
    host: str = "127.0.0.1",
) -> LabelingApp:
    """Make the page of a campaign as an ASGI application, and start its worker.

    Parameters
    ----------
    campaign : Campaign
        With its rows and a model. It is opened twice more, and not used itself. Its
        stopping rule is `skal.stopping.StablePredictions` on rows of the pool if it has
        none.
    annotator : str, optional
        Who labels; the page asks by default.
    images : str or path, optional
        Folder of images: cells that hold the path of one show it.
    n : int, default=10
        Rows that are picked at a time, before which the model is fitted.
    explain : bool, default=False
        Whether to show why a row was picked, as in `skal.campaign.Campaign.explain` but
        for the prediction. It may still bias annotators. Of rows that were picked
        before the server started, nothing is shown.
    host : str, default="127.0.0.1"
        Name or address by which browsers reach the server; other names are refused.

    Returns
    -------
    app : LabelingApp

    Raises
    ------
    ImportError
        Without Starlette or uvicorn.
    """
    name, pictures = check_options(annotator, images)
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.routing import Route

    gate = Gate(host)
    worker = Worker(_watched(campaign), n, explain)
    page = Page(campaign.reopen(), worker, pictures)

    async def start(request: Any) -> Any:
        secret = gate.start(request.query_params.get("token", ""), name)
        if secret is None:
            return _respond(page.message("The token is wrong. " + _OPEN, 403))
        response = _respond(page.onward())
        response.set_cookie(gate.cookie, secret, httponly=True, samesite="strict")
        return response

    async def static(request: Any) -> Any:
        kind = _STATIC.get(request.path_params["name"])
        if kind is None:
            return _respond(page.message("There is no such file.", 404))
        path = files("skal.labeling") / "static" / request.path_params["name"]
        return _respond(Reply(path.read_bytes(), kind=kind))

    def route(path: str, handler: Handler, is_form: bool = False) -> Any:
        async def answer(request: Any) -> Any:
            session = gate.session(request.cookies.get(gate.cookie))
            if session is None:
                return _respond(page.message("There is no session. " + _OPEN, 403))
            values = dict(request.query_params)
            if is_form:
                form = await _read_form(request)
                if form is None:
                    return _respond(page.message("The form is too large.", 413))
                if not gate.is_genuine(session, form):
                    text = "The form was not made by this page. Load it again."
                    return _respond(page.message(text, 403))
                values = form
            try:
                return _respond(await run_in_threadpool(handler, session, values))
            except CampaignDatabaseError as error:
                return _respond(page.message(str(error), 503))

        return Route(path, answer, methods=["POST" if is_form else "GET"])

    async def failed(request: Any, error: Exception) -> Any:
        text = f"The server failed: {type(error).__name__}: {error}"
        return _respond(page.message(text, 500))

    routes = [
        Route("/start", start),
        Route("/static/{name}", static),
        route("/", page.show),
        route("/state", page.state),
        route("/image", page.image),
        route("/curve.svg", page.curve),
        route("/label", page.label, is_form=True),
        route("/name", page.name, is_form=True),
        route("/retry", page.retry, is_form=True),
    ]
    app = Starlette(routes=routes, exception_handlers={Exception: failed})
    worker.start()
    return LabelingApp(gate, worker, page, app)


def serve(
    campaign: Campaign,
    *,
    annotator: str | None = None,
    images: Any = None,
    n: int = 10,
    explain: bool = False,
    host: str = "127.0.0.1",
    port: int = 0,
    open_browser: bool = True,
) -> None:
    """Serve the page of a campaign until it is interrupted.

    The address, with a token that opens a session, is printed. Whoever knows it can
    label. It is new each time.

    Parameters
    ----------
    campaign, annotator, images, n, explain
        As in `make_app`.
    host : str, default="127.0.0.1"
        Address to listen at. At others than that of this machine, labels and the token
        go over the network unencrypted.
    port : int, default=0
        A free one by default.
    open_browser : bool, default=True
        Whether to open the address. Programs of other users of the machine may see it
        then, in the list of processes.

    Raises
    ------
    OSError
        If the server cannot listen there.
    ImportError
        Without Starlette or uvicorn.
    """
    check_options(annotator, images)
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family)
    with listening:
        options: dict[str, Any] = {"n": n, "explain": explain, "host": host}
        app = make_app(campaign, annotator=annotator, images=images, **options)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}{app.start_path}"
        print(address, flush=True)
        if open_browser:
            threading.Thread(
                target=webbrowser.open, args=[address], daemon=True
            ).start()
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # it would hold the token
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=2,
        )
        try:
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            pass
        finally:
            app.close()


_OPEN = "Open the address that was printed when the server started."


def _watched(campaign: Campaign) -> Campaign:
    """Open a campaign once more, with a stopping rule."""
    if campaign._watch is not None:
        return campaign.reopen()
    pool: Any = campaign._pool
    campaign._need_pool("labeling")
    return campaign.reopen(stop=stable_predictions(pool.X, campaign._picker.seed))


def _respond(reply: Reply) -> Any:
    from starlette.responses import Response

    return Response(reply.body, reply.status, reply.headers, reply.kind)


async def _read_form(request: Any) -> dict[str, str] | None:
    """Read a form; None if it is too large."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST:
            return None
    text = body.decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True, errors="replace"))
