"""Who is refused: wrong tokens, other sites, forms that no page has made."""

from __future__ import annotations

from collections.abc import Callable

from skal.campaign import Campaign
from skal.labeling import LabelingApp
from skal.labeling.security import Gate
from tests.labeling.conftest import URL, Browser

Serve = Callable[..., LabelingApp]
Look = Callable[[], Campaign]

PATHS = ["/", "/state", "/image?row=r00&column=a", "/curve.svg"]
FORMS = ["/label", "/name", "/retry"]


def test_nothing_without_the_token(serve: Serve) -> None:
    from starlette.testclient import TestClient

    app = serve()
    client = TestClient(app, base_url=URL)
    wrong = ["", "?token=", "?token=x", f"?token={app.gate.token}x", "?token=ä"]
    for query in wrong:
        assert client.get(f"/start{query}").status_code == 403
        assert not client.cookies
    client.cookies.set(app.gate.cookie, app.gate.token)  # the token is no session
    for path in PATHS:
        assert client.get(path).status_code == 403
    for path in FORMS:
        assert client.post(path, data={"name": "ann"}).status_code == 403
    other = serve()
    assert client.get(f"/start?token={other.gate.token}").status_code == 403


def test_cookie_and_headers(serve: Serve) -> None:
    browser = Browser(serve(), "ann")
    cookie = browser.start.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert 'content="0; url=/"' in browser.start.text
    for path in (*PATHS, "/static/page.js", "/static/none", "/none", "/start"):
        headers = browser.client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "script-src 'self'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
    assert (
        browser.client.get("/static/page.js")
        .headers["content-type"]
        .startswith("text/javascript")
    )
    assert browser.client.get("/label").status_code == 405


def test_forms_need_the_mark_of_their_session(serve: Serve, look: Look) -> None:
    app = serve()
    ann, bob = Browser(app, "ann"), Browser(app, "bob")
    foreign = bob.html.split('name="csrf" value="')[1].split('"')[0]
    for csrf in ("", "x", foreign):
        html = ann.html
        ann.post("/label", csrf=csrf, value="1")
        assert ann.code == 403
        ann.html = html
    response = ann.client.post("/label", data={"row": str(ann.row), "value": "1"})
    assert response.status_code == 403
    ann.post("/label", value="1" * 70_000)
    assert ann.code == 413
    assert look().said("ann") == []


def test_other_sites_are_refused(serve: Serve, look: Look) -> None:
    app = serve()
    browser = Browser(app, "ann")
    # A jar keeps cookies from other hosts; at worst, they have it.
    cookie = f"{app.gate.cookie}={browser.client.cookies[app.gate.cookie]}"
    n_said = 0
    for headers, passes in [
        ({}, True),
        ({"host": "localhost:1234", "origin": "http://localhost:1234"}, True),
        ({"host": "[::1]:1234"}, True),
        ({"origin": URL, "sec-fetch-site": "same-origin"}, True),
        ({"host": "evil.example"}, False),
        ({"host": "127.0.0.1.evil.example"}, False),
        ({"host": "192.168.0.7"}, False),
        ({"host": "["}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://127.0.0.1:9"}, False),
        ({"origin": "null"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
    ]:
        browser.get()
        csrf = browser.html.split('name="csrf" value="')[1].split('"')[0]
        data = {"csrf": csrf, "row": str(browser.row), "value": "1", "before": ""}
        sent = {**headers, "cookie": cookie}
        response = browser.client.post(
            "/label", data=data, headers=sent, follow_redirects=False
        )
        assert response.status_code == (303 if passes else 403), headers
        n_said += passes
        assert len(look().said("ann")) == n_said
        if "host" in headers:
            seen = browser.client.get("/", headers=sent).status_code
            assert seen == (200 if passes else 403), headers


def test_a_server_at_all_addresses_has_addresses_but_no_names() -> None:
    gate = Gate("0.0.0.0")
    assert gate.refusal("GET", {"host": "192.168.0.7:80"}) is None
    assert gate.refusal("GET", {"host": "[fe80::1]:80"}) is None
    assert gate.refusal("GET", {"host": "evil.example"}) is not None
    assert Gate("lab.example").refusal("GET", {"host": "lab.example:80"}) is None


def test_the_oldest_sessions_end() -> None:
    gate = Gate()
    first = gate.start(gate.token)
    assert gate.session(first) is not None
    for _ in range(1000):
        last = gate.start(gate.token)
    assert gate.session(first) is None
    assert gate.session(last) is not None
    assert gate.session(None) is None
