"""Who may use the page: a token, sessions, and where requests come from."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

__all__ = ["HEADERS", "Gate", "Session", "check_name"]

#: Of every response. Scripts and styles are files of skal, never text of a page. With
#: the referrer policy "no-referrer", browsers would send the origin "null" with forms.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
#: Longest name of an annotator, in characters.
_LONGEST = 100
#: Sessions that are kept; of more, the oldest one ends.
_SESSIONS = 1000


@dataclass
class Session:
    """A browser that opened the start address.

    Attributes
    ----------
    annotator : str
        Empty until a name is given.
    csrf : str
        Must be sent with each form.
    notice : str
        What was done last; shown once.
    """

    annotator: str = ""
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    notice: str = ""


class Gate:
    """Lets requests pass, or says why not.

    Parameters
    ----------
    host : str
        Name or address that the server listens at.

    Attributes
    ----------
    token : str
        Opens a session; new for each gate.
    cookie : str
        Name of the cookie. Cookies do not know ports, so servers on one machine need
        different names.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.token = secrets.token_urlsafe(32)
        self.cookie = f"skal_{secrets.token_hex(4)}"
        self._sessions: dict[str, Session] = {}

    def refusal(self, method: str, headers: Mapping[str, str]) -> str | None:
        """Say why a request is refused whoever sends it, or None.

        The host is checked since a page of another site can give its own name the
        address of this machine (DNS rebinding); the origin, since it can send forms.
        """
        host = headers.get("host", "")
        if not self._is_own(host):
            return "The page is not served under this name."
        if method in ("GET", "HEAD"):
            return None
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return "The request comes from another site."
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "The request comes from another site."
        return None

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in {"127.0.0.1", "localhost", "::1", self.host.lower()}:
            return True
        # A server at all addresses has no name to compare with, but other sites have
        # names, not addresses.
        return self.host in ("0.0.0.0", "::") and _is_address(name)

    def start(self, token: str, annotator: str = "") -> str | None:
        """Open a session; return its secret, or None if the token is wrong."""
        if not _same(token, self.token):
            return None
        secret = secrets.token_urlsafe(32)
        self._sessions[secret] = Session(annotator)
        while len(self._sessions) > _SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        return secret

    def session(self, secret: str | None) -> Session | None:
        """Find the session of a cookie."""
        return self._sessions.get(secret or "")

    @staticmethod
    def is_genuine(session: Session, form: Mapping[str, str]) -> bool:
        """Whether a form was made by a page of the session."""
        return _same(form.get("csrf", ""), session.csrf)


def check_name(text: str) -> str:
    """Check the name of an annotator; returns it without surrounding spaces."""
    name = text.strip()
    if not name:
        raise ValueError("Please give a name.")
    if len(name) > _LONGEST or not name.isprintable():
        raise ValueError(
            f"A name has up to {_LONGEST} characters, on one line, and no others."
        )
    if name == "start":
        raise ValueError(
            "'start' is the name under which labels of the table itself are recorded: "
            "please take another one."
        )
    return name


def _same(given: str, expected: str) -> bool:
    """Compare in a time that does not tell how much is right."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
