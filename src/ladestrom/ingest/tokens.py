"""The path of a row's `tokens`: the OAuth 2.0 password grant (RFC 6749, section 4.3), for clients that do not
know keys.

The password is the key, and so is the access token: nothing new is made that could leak, expire unseen or
outlive a revocation. The user's name is not looked at, as a key says whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from ladestrom.core.access import Scope
from ladestrom.credentials import Doorkeeper
from ladestrom.errors import BadRequest, LadestromError, MethodNotAllowed, NotAllowed
from ladestrom.ingest.http_push import Receive, Send, headers_of, read_body, respond
from ladestrom.protocols.interfaces import Answer, Request

FORM_BYTES_MAX: Final = 8 * 1024
FORM_FIELDS_MAX: Final = 20
"""The grant has six."""


class _Token(msgspec.Struct, frozen=True):
    """RFC 6749, section 5.1."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the kind


class TokenEndpoint:
    """The ASGI application for the path."""

    def __init__(self, door: Doorkeeper, refuse: Callable[[Request, LadestromError], Answer]) -> None:
        """The endpoint of one protocol; `refuse` says in its words that there is no token (`Push.refuse`)."""
        self._door = door
        self._refuse = refuse

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        try:
            answer = await self._grant(scope, receive)
        except LadestromError as error:
            request = Request(scope["method"], "", {}, {}, b"")
            answer = msgspec.structs.replace(self._refuse(request, error), headers=headers_of(error))
        await respond(send, answer)

    async def _grant(self, scope: MutableMapping[str, Any], receive: Receive) -> Answer:
        if scope["method"] != "POST":
            raise MethodNotAllowed("tokens are requested with POST")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await read_body(headers, receive, FORM_BYTES_MAX)
        try:
            form = dict(parse_qsl(body.decode("ascii"), max_num_fields=FORM_FIELDS_MAX))
        except ValueError:
            raise BadRequest("the body is not a form; send username and password") from None
        if form.get("grant_type", "password") != "password":
            raise BadRequest("grant_type must be password")
        key = form.get("password", "").strip()
        shown = {"x-api-key": key}
        try:
            self._door.credential(shown, Scope.REPORT)
        except NotAllowed:
            self._door.credential(shown, Scope.STREAM)
        return Answer(200, msgspec.json.encode(_Token(key)), headers=(("pragma", "no-cache"),))
