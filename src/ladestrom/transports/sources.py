"""Protocols in which we begin: the sources that are asked, and those that are followed."""

from __future__ import annotations

from ladestrom.config import Settings
from ladestrom.ingest.http_poll import SourceLimits
from ladestrom.ingest.sources import SOURCE_ITEMS_MAX
from ladestrom.outbound.fetching import FetchLimits
from ladestrom.outbound.pacing import PaceLimits
from ladestrom.protocols.delivery import ParseLimits


def limits_of(settings: Settings) -> SourceLimits:
    """What one answer may be, and when a source is asked again."""
    own = settings.sources
    return SourceLimits(
        fetch=FetchLimits(answer_bytes_max=own.answer_mib_max * 1024 * 1024, answer_s_max=own.answer_s_max),
        pace=PaceLimits(failures_max=own.failures_max, rest_s=own.rest_s),
        parse=ParseLimits(items_max=SOURCE_ITEMS_MAX),
        own_party=settings.ocpi.country_code + settings.ocpi.party_id,
        round_s_max=own.round_s_max,
        lost_after_s=own.lost_after_s,
    )
