"""Requests that this server makes of others: fetched within limits, to addresses that are allowed, at a pace.

Serves what comes in (sources, OCPI peers) and what goes out alike, and so knows neither: no protocol, no
format, no transport of ours.
"""
