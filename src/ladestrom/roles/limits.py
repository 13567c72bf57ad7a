"""What the settings mean to each part: the only place where both are known."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Literal

from ladestrom.backends import table
from ladestrom.backends.data_directory import DataDirectory
from ladestrom.backends.opening import Opening
from ladestrom.config import Settings
from ladestrom.core.rules import Inoperative
from ladestrom.core.shares import PlaceLimits
from ladestrom.credentials import TICKET_LIMITS
from ladestrom.edges import keys
from ladestrom.edges.connection import StreamLimits
from ladestrom.edges.contract.served import Served
from ladestrom.formats.dialect import Style
from ladestrom.formats.wire import Observed
from ladestrom.ingest.idempotency import KEY_CHARACTERS_MAX
from ladestrom.ingest.quarantine import Quarantine
from ladestrom.ingest.websocket_server import PIPELINE_MESSAGES_MAX
from ladestrom.reader.channels import BroadcastLimits
from ladestrom.server.http import HEADER_BYTES_MAX
from ladestrom.server.websocket import WEBSOCKET_BYTES_MAX
from ladestrom.transports import pushes
from ladestrom.writer.hub import HubLimits


def store(settings: Settings, held: DataDirectory | None = None) -> Opening:
    """Where the registry, operators and keys are kept."""
    return Opening(
        url=settings.store.url,
        folder=Path(settings.server.data),
        held=held,
        is_shared=table.log_of(settings.log.url).has_lease,
    )


def log(settings: Settings, held: DataDirectory | None = None) -> Opening:
    """Where the log is kept, and how."""
    own = settings.log
    return Opening(
        url=own.url,
        folder=Path(settings.server.data),
        held=held,
        durability=own.durability,
        retention_days=own.retention_days,
        retention_mib=own.retention_mib,
        notify_url=own.notify_url,
        store=settings.store.url,
        lease_s=own.lease_s,
    )


def durability(settings: Settings) -> Literal["full", "relaxed", "none"]:
    """What an acknowledgement survives, where the log is kept."""
    return settings.log.durability if table.log_of(settings.log.url).outlives else "none"


def quarantine(settings: Settings) -> Quarantine:
    return Quarantine(
        Path(settings.server.data),
        files_max=settings.sources.quarantine_files_max,
        bytes_max=settings.sources.quarantine_mib_max * 1024 * 1024,
    )


def of_hub(settings: Settings) -> HubLimits:
    return HubLimits(
        queue_items_max=settings.reports.queue_items_max,
        queue_items_per_operator_max=settings.reports.queue_items_per_operator_max,
        rapid_changes_per_hour_max=settings.reports.rapid_changes_per_hour_max,
        group_items_max=settings.log.group_items_max,
        stale_after_s=settings.rules.stale_after_s,
        start_grace_s=settings.rules.start_grace_s,
        skew_ms=settings.rules.clock_skew_s * 1000,
    )


def of_broadcast(settings: Settings) -> BroadcastLimits:
    return BroadcastLimits(
        gather_ms_min=settings.stream.gather_ms_min,
        gather_ms_max=settings.stream.gather_ms_max,
        raw_items_max=settings.stream.raw_items_max,
        channels_max=settings.stream.selections_max,
        heartbeat_s=settings.stream.heartbeat_s,
    )


def of_stream(settings: Settings) -> StreamLimits:
    stream = settings.stream
    return StreamLimits(
        consumers_max=stream.consumers_max,
        consumers_per_key_max=stream.consumers_per_key_max,
        consumers_per_address_max=stream.consumers_per_address_max,
        visitors_per_address_max=settings.page.visitors_per_address_max,
        selections_share_max=stream.selections_share_max,
        visitors_max=settings.page.visitors_max,
        write_buffer_bytes_max=stream.write_buffer_kib_max * 1024,
        inbound_bytes_max=stream.inbound_kib_max * 1024,
        inbound_messages_per_minute_max=stream.inbound_messages_per_minute_max,
        ping_interval_s=stream.ping_interval_s,
        ping_timeout_s=stream.ping_timeout_s,
        stalled_s=stream.stalled_s,
    )


def key_policy(settings: Settings) -> keys.KeyPolicy:
    own = settings.keys
    return keys.KeyPolicy(
        policy=own.policy,
        per_address_per_hour_max=own.per_address_per_hour_max,
        per_address_per_day_max=own.per_address_per_day_max,
        self_made_max=own.self_made_max,
        days=own.days,
        contact=settings.page.contact,
        url_public=settings.server.url_public,
    )


def of_keys(settings: Settings) -> keys.KeyLimits:
    stream = settings.stream
    return keys.KeyLimits(
        stream.consumers_per_key_max,
        stream.inbound_kib_max * 1024,
        stream.inbound_messages_per_minute_max,
    )


def of_tickets(settings: Settings) -> PlaceLimits:
    """A ticket opens one connection, so each holder may have as many as connections."""
    stream, page = settings.stream, settings.page
    return PlaceLimits(
        total_max=TICKET_LIMITS.total_max,
        per_key_max=stream.consumers_per_key_max,
        per_address_max=stream.consumers_per_address_max,
        visitors_max=TICKET_LIMITS.visitors_max,
        visitors_per_address_max=page.visitors_per_address_max,
    )


def connections_per_address_max(settings: Settings) -> int:
    files_max, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files_max == resource.RLIM_INFINITY:
        return settings.server.connections_per_address_max
    return min(settings.server.connections_per_address_max, files_max // 2)


def style(settings: Settings, observed_at: Observed) -> Style:
    """What encoders go by; `observed_at` is the writer's."""
    stream, registry = settings.stream, settings.registry
    return Style(
        inoperative=Inoperative(settings.rules.inoperative),
        licence=registry.licence,
        attribution=registry.attribution,
        heartbeat_s=stream.heartbeat_s,
        inbound_bytes_max=stream.inbound_kib_max * 1024,
        inbound_messages_per_minute_max=stream.inbound_messages_per_minute_max,
        observed_at=observed_at,
        publisher=registry.publisher,
        publisher_country=registry.publisher_country,
    )


def served(settings: Settings) -> Served:
    """What the published contracts say of a server with these settings."""
    reports = pushes.limits_of(settings)
    return Served(
        visitors=settings.page.visitors == "anyone",
        url_public=settings.server.url_public,
        head_bytes_max=HEADER_BYTES_MAX,
        stream=of_stream(settings),
        heartbeat_s=settings.stream.heartbeat_s,
        report_items_max=reports.parse.items_max,
        report_body_bytes_max=reports.body_bytes_max,
        report_message_bytes_max=WEBSOCKET_BYTES_MAX,
        report_messages_max=PIPELINE_MESSAGES_MAX,
        idempotency_key_characters_max=KEY_CHARACTERS_MAX,
        idempotency_hours=settings.reports.idempotency_hours,
        skew_s=settings.rules.clock_skew_s,
    )
