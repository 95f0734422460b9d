"""HTTP to one registry: TLS, who we are, redirects, and errors in words.

A registry says with 401 what it wants: a password (Basic), or a token that
another server gives for the password (Bearer). The answer is kept and sent
with the next requests, to the registry's own host only.

Sources: RFC 9110 (11. authentication), distribution.github.io/distribution/spec/auth/token.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError

from imagebuilder.errors import RegistryError, UserError
from imagebuilder.store.registry.credentials import Credentials

_RETRY = urllib3.Retry(
    total=4,
    connect=1,
    other=0,  # TLS: nothing gets better by waiting
    backoff_factor=0.3,
    status_forcelist=(429, 502, 503, 504),
    allowed_methods=("GET", "HEAD"),
    raise_on_status=False,
)
_TIMEOUT = urllib3.Timeout(connect=10, read=60)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_LOG_IN = (
    "give `--username NAME --password-stdin`, or log in with `docker login` (what it leaves to a credential "
    "helper is not known here)"
)
MANIFEST_BYTES = 4 << 20
"""No manifest is larger (distribution-spec), and no other answer that is read as a whole."""


@dataclass(frozen=True, slots=True)
class Site:
    """How a registry is reached: HOST[:PORT], without TLS or with it (and which authorities to trust), as whom."""

    host: str
    plain_http: bool = False
    ca_file: Path | None = None
    credentials: Credentials | None = None

    @property
    def url(self) -> str:
        """Its root."""
        return f"{'http' if self.plain_http else 'https'}://{self.host}"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: `path` is one of the registry or a whole URL; `accept` lists the statuses that are no error."""

    method: str
    path: str
    headers: Mapping[str, str] | None = None
    body: bytes | None = None
    accept: Collection[int] = (200,)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, as a whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Requests to one registry."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._pool = urllib3.PoolManager(ssl_context=_trust(site.ca_file), retries=_RETRY, timeout=_TIMEOUT)
        self._authorization = ""

    def ask(self, request: Request) -> Answer:
        """Ask, and read the whole answer. Raises RegistryError as `stream`, and for an answer without end."""
        answer = self.stream(request)
        return Answer(answer.status, answer.headers, _read(answer))

    def stream(self, request: Request) -> urllib3.BaseHTTPResponse:
        """Ask, and give the answer with its body not read yet.

        Raises RegistryError for no answer and for a status that is not accepted.
        """
        url = self.absolute(request.path)
        answer = self._once(url, request)
        if answer.status == 401 and self._is_ours(url):
            challenge = answer.headers.get("WWW-Authenticate", "")
            _read(answer)
            self._authorization = self._authorize(challenge)
            answer = self._once(url, request)
        if answer.status not in request.accept:
            raise self._refusal(request, answer)
        return answer

    def absolute(self, path: str) -> str:
        """The URL of a path of the registry; a whole URL stays what it is."""
        return urljoin(self.site.url, path)

    def _once(self, url: str, request: Request) -> urllib3.BaseHTTPResponse:
        headers = {"Accept-Encoding": "identity", "User-Agent": "imagebuilder", **(request.headers or {})}
        if self._authorization and self._is_ours(url):
            headers["Authorization"] = self._authorization
        try:
            return self._pool.request(
                request.method, url, headers=headers, body=request.body, preload_content=False, decode_content=False
            )
        except HTTPError as error:
            raise self._unreachable(error) from error

    def _is_ours(self, url: str) -> bool:
        return urlsplit(url)[:2] == urlsplit(self.site.url)[:2]

    def _authorize(self, challenge: str) -> str:
        """What the registry wants to see, after its challenge."""
        scheme, _, rest = challenge.partition(" ")
        fields = dict(_CHALLENGE.findall(rest))
        if scheme.lower() == "bearer" and "realm" in fields:
            return f"Bearer {self._token(fields.pop('realm'), fields)}"
        if scheme.lower() == "basic" and self.site.credentials:
            return self.site.credentials.basic
        raise RegistryError(f"the registry {self.site.host} wants to know who you are", hint=_LOG_IN)

    def _token(self, realm: str, fields: Mapping[str, str]) -> str:
        if not self.site.plain_http and urlsplit(realm).scheme != "https":
            raise RegistryError(f"the registry {self.site.host} wants the password sent in clear to {realm}")
        query = urlencode({key: value for key, value in fields.items() if key in ("service", "scope")})
        headers = {"Authorization": self.site.credentials.basic} if self.site.credentials else {}
        try:
            answer = self._pool.request("GET", f"{realm}?{query}", headers=headers, redirect=False)
            value = answer.json() if answer.status == 200 else {}
            return str(value.get("token") or value["access_token"])
        except HTTPError as error:
            raise self._unreachable(error) from error
        except (ValueError, KeyError, AttributeError):
            raise RegistryError(f"{realm} gives no token for the registry {self.site.host}", hint=_LOG_IN) from None

    def _refusal(self, request: Request, answer: urllib3.BaseHTTPResponse) -> RegistryError:
        where = urlsplit(request.path).path
        text = f"the registry {self.site.host} answers {answer.status} to {request.method} {where}"
        said = _words(_read(answer))
        hint = _LOG_IN if answer.status in (401, 403) else None
        return RegistryError(f"{text}: {said}" if said else text, hint=hint, status=answer.status)

    def _unreachable(self, error: HTTPError) -> RegistryError:
        reason = getattr(error, "reason", None) or error
        text, hint = str(reason), None
        if isinstance(reason, SSLError):
            hint = "`--ca-file FILE` names the authority that signed it; `--plain-http` is for one without TLS"
        elif isinstance(reason, NewConnectionError):
            hint = f"is it running, and is `{self.site.host}` right?"
        return RegistryError(f"the registry {self.site.host} cannot be reached: {text}", hint=hint)


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    """TLS that trusts the authorities of a file, or those that this machine trusts."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:  # ssl.SSLError is one
        raise UserError(f"{ca_file} holds no certificates: {error}", hint="`--ca-file` wants a PEM file") from None


def _read(answer: urllib3.BaseHTTPResponse) -> bytes:
    try:
        data = answer.read(MANIFEST_BYTES + 1)
    except HTTPError as error:
        raise RegistryError(f"the registry's answer breaks off: {error}") from error
    if len(data) > MANIFEST_BYTES:
        answer.close()
        raise RegistryError(f"the registry's answer has more than {MANIFEST_BYTES} bytes")
    answer.drain_conn()
    return data


def _words(body: bytes) -> str:
    """What a registry says is wrong (distribution-spec, error codes)."""
    try:
        errors: list[dict[str, Any]] = json.loads(body)["errors"]
        return "; ".join(str(error.get("message") or error.get("code")) for error in errors)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
