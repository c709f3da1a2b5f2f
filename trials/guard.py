"""Protect the page: tokens in forms, no requests from and no content of other sites."""

import hmac
import secrets
from urllib.parse import urlsplit

from flask import Flask, Response, abort, request, session

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
SAFE = {"GET", "HEAD", "OPTIONS"}
STALE = "This page is older than the process that serves it. Load it again."
FOREIGN = "Only the page itself may send this request."
# Other host names mean that another site resolves its name to this machine (DNS rebinding).
LOCAL = {"localhost", "127.0.0.1", "::1"}


def init_app(app: Flask) -> None:
    """Protect every view of ``app``. The key of its cookies lasts as long as this process."""
    app.secret_key = secrets.token_bytes(32)
    app.config.update(
        SESSION_COOKIE_NAME="trial", SESSION_COOKIE_SAMESITE="Strict", SESSION_COOKIE_HTTPONLY=True
    )
    app.before_request(refuse)
    app.after_request(protect)
    app.jinja_env.globals["token"] = token


def token() -> str:
    """Return the token that each form must send.

    It stays the same while the browser keeps its cookie.
    """
    if "token" not in session:
        session["token"] = secrets.token_urlsafe(16)
    return str(session["token"])


def refuse() -> None:
    """Refuse requests of other sites, and forms without their token, with 403."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"} and (
        request.method not in SAFE or request.headers.get("Sec-Fetch-Mode") != "navigate"
    ):
        abort(403, FOREIGN)
    if request.method in SAFE:
        return
    origin = request.headers.get("Origin")
    if urlsplit(request.host_url).hostname not in LOCAL or origin not in {None, request.host_url[:-1]}:
        abort(403, FOREIGN)
    known = session.get("token")
    if not known or not hmac.compare_digest(request.form.get("token", "").encode(), known.encode()):
        abort(403, STALE)


def protect(response: Response) -> Response:
    """Add the security headers to a response."""
    response.headers.update(HEADERS)
    if request.endpoint not in {"static", "timeline_css"}:
        response.headers["Cache-Control"] = "no-store"
    return response
