"""Secrets stay where they are: out of records, logs, MLflow and the terminal.

Whatever is shown or kept goes through :func:`masked`: user names and passwords of URIs, keys in
their query, and the values of environment variables that are named like secrets become ``***``.
"""

from __future__ import annotations

import base64
import os
import re
from urllib.parse import unquote, urlsplit

#: Up to the last ``@``: a password may hold a slash or another ``@``.
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/?#'\"<>@:]*:[^\s'\"<>]*|[^\s/?#'\"<>@]+)@")
#: The same where somebody forgot the scheme; the port tells it from a matrix product.
_BARE = re.compile(r"[\w.%+-]+:(?!//)[^\s@'\"]+@([\w.-]+:\d+)")
_QUERY = re.compile(
    r"([?&;](?:password|passwd|pwd|token|access_token|auth|secret|api_?key|access_?key|sig|signature)=)"
    r"[^\s&;#'\"<>]+",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(?:^|_)(?:PASS|PASSWD|PASSWORD|PWD|TOKEN|SECRET|KEY|APIKEY|CREDENTIALS?|AUTH)$", re.IGNORECASE
)
_PASSWORD = re.compile(r"://[^\s/?#'\"<>@:]*:([^\s'\"<>]+)@")
#: A shorter value may stand anywhere by chance: ``OLD_KEY=1`` must not blank every 1.
_SHORTEST = 6
#: Passwords of URIs in use, and what a request's header makes of them.
_learned: set[str] = set()


def learn(uri: str) -> None:
    """Mask the password of a URI wherever it turns up by itself, and the header made of it, too."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return
    if parts.password:
        user, password = unquote(parts.username or ""), unquote(parts.password)
        _learned.update(s for s in (parts.password, password) if len(s) >= _SHORTEST)
        _learned.add(_header(user, password))


def _header(user: str, password: str) -> str:
    """What a request sends of them; a server may answer with it."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def masked(text: str) -> str:
    """``text`` without user names and passwords of URIs, keys in their query, known secrets."""
    if "://" in text:
        text = _URI.sub(r"\1***@", text)
    if "@" in text:
        text = _BARE.sub(r"***@\1", text)
    if "=" in text:
        text = _QUERY.sub(r"\1***", text)
    for secret in _known():
        if secret in text:
            text = text.replace(secret, "***")
    return text


def _known() -> list[str]:
    """Values of the environment that nobody should read elsewhere, the longest first."""
    found = set(_learned)
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{x}", "") for x in ("USERNAME", "PASSWORD"))
    if password:
        found.add(_header(user, password))
    for name, value in os.environ.items():
        # PWD is the shell's folder, and OLDPWD the one before.
        if _NAME.search(name) and name != "PWD":
            found.add(value)
        elif "@" in value:
            found.update(_PASSWORD.findall(value))
    return sorted((each for each in found if len(each) >= _SHORTEST), key=len, reverse=True)
