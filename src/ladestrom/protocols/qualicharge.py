"""The shape of QualiCharge, the French national API, for operators whose systems deliver there already.

Knows its two ways to create statuses, one and many. Must not know keys: `/auth/token` is the transport's.
Unlike there, the newest observation wins and not the last received, and a point that cannot be taken costs
no other of its list. As its senders read the answer, a status word that the schema does not have is refused.

Source: QualiCharge API version 1, "IRVE Dynamique".
"""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID

import msgspec

from ladestrom.errors import LadestromError, MalformedBody, NotFound, TooLarge
from ladestrom.model import Operator, Reason, Receipt, Refusal
from ladestrom.protocols.delivery import UNREADABLE, Delivery, Gathering, ParseLimits, Problem, json_text
from ladestrom.protocols.interfaces import Answer, Request
from ladestrom.protocols.irve_dynamique import IrveStatus, gather

ONE: Final = "status"
MANY: Final = "status/bulk"

HTTP_STATUSES: Final[dict[Reason, int]] = {Reason.UNKNOWN_EVSE: 404, Reason.NOT_ALLOWED: 403}
"""Where nothing of a request could be taken; for all other reasons it is 422."""

_decode_rows = msgspec.json.Decoder(list[IrveStatus]).decode
_decode_row = msgspec.json.Decoder(IrveStatus).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode


class _Created(msgspec.Struct, frozen=True):
    """What is said of one status that was taken."""

    id: UUID


class _CreatedMany(msgspec.Struct, frozen=True):
    """What is said of several statuses of which some were taken."""

    size: int
    items: list[UUID]
    refused: tuple[Refusal, ...] | msgspec.UnsetType = msgspec.UNSET


class _Fault(msgspec.Struct, frozen=True):
    """What QualiCharge says of errors, in both of its forms, with our code."""

    detail: str
    message: str
    code: str


class Qualicharge:
    """`POST /dynamique/status/` and `POST /dynamique/status/bulk`."""

    name = "qualicharge"

    def receive(self, request: Request, operator: Operator, limits: ParseLimits) -> Delivery:
        """Implements `Push.receive`.

        Raises:
            NotFound: the path is none of these two.
            MalformedBody: the body is neither a status nor a list of statuses.
            TooLarge: the list is longer than `limits.items_max`.
        """
        if request.path not in {ONE, MANY}:
            raise NotFound(f"statuses are created at {ONE}/ and {MANY}")
        rows = _read(request.body, is_list=request.path == MANY)
        if len(rows) > limits.items_max:
            raise TooLarge(
                f"the list has {len(rows)} statuses; at most {limits.items_max} are taken: split it"
            )
        gathering = Gathering(operator.name)
        for row in rows:
            gather(gathering, row, refuses_words=True)
        return gathering.delivery()

    def answer(self, request: Request, delivery: Delivery, receipt: Receipt) -> Answer:  # noqa: ARG002 - a push
        """201 and an id for each status that was taken; those refused beside them, where some were.

        Ids are of no use here, but clients read them: they are made of the message and the log's position.
        """
        taken = receipt.accepted + receipt.unchanged
        refused = receipt.refused
        if refused and not taken:
            first = refused[0]
            return Answer(
                HTTP_STATUSES.get(first.reason, 422),
                _encode(_Fault(first.detail, first.detail, first.reason.value)),
            )
        seed = hashlib.sha256(request.body + str(receipt.position).encode()).digest()
        ids = [
            UUID(bytes=hashlib.blake2b(seed + place.to_bytes(4, "big"), digest_size=16).digest(), version=4)
            for place in range(taken)
        ]
        if request.path == ONE:
            return Answer(201, _encode(_Created(ids[0])))
        return Answer(201, _encode(_CreatedMany(taken, ids, refused or msgspec.UNSET)))

    def refuse(self, request: Request, error: LadestromError) -> Answer:  # noqa: ARG002 - a push
        """The error's text as `detail`, and as `message`, where its client looks for it."""
        return fault(error)


def fault(error: LadestromError) -> Answer:
    """An error in QualiCharge's words."""
    return Answer(error.status, _encode(_Fault(str(error), str(error), error.code)))


def _read(body: bytes, *, is_list: bool) -> list[IrveStatus | Problem]:
    body = json_text(body)
    try:
        try:
            return [*_decode_rows(body)] if is_list else [_decode_row(body)]
        except msgspec.ValidationError:
            return [_row(raw) for raw in (_decode_raws(body) if is_list else [_decode_raw(body)])]
    except UNREADABLE as error:
        raise MalformedBody(
            f"the body is neither a status nor a list of statuses ({error}); nothing was used"
        ) from error


def _row(raw: msgspec.Raw) -> IrveStatus | Problem:
    try:
        return _decode_row(raw)
    except msgspec.ValidationError as error:
        return Problem(Reason.INVALID_ITEM, str(error))
