"""Where all transports hand in what their protocols understood: the one way from a delivery to a receipt."""

from __future__ import annotations

from collections.abc import Collection

from ladestrom.hub import Hub
from ladestrom.model import Operator, Receipt
from ladestrom.protocols.delivery import Delivery


class Reception:
    """One object per server."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def take(self, operator: Operator, delivery: Delivery) -> Receipt:
        """Returns once what was accepted is durable.

        Raises:
            Overloaded, LogFailure: nothing was changed; the operator may try again.
        """
        receipt = await self._hub.submit(operator, delivery.reports, delivery.refused)
        if delivery.complete:
            await self._hub.sign_off(
                operator.name, keep={report.evse for report in delivery.reports}, within=delivery.within
            )
        return receipt

    async def sign_off(self, operator: Operator, evses: Collection[str] | None = None) -> int:
        """The source is lost: its EVSEs become unknown, all or those written here. Says how many.

        An EVSE whose status another source told last keeps it.
        """
        return await self._hub.sign_off(operator.name, only=evses)
