"""Implementations of the ports: what keeps the log and the store."""
