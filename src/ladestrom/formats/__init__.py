"""Pure: what outputs share when they put statuses and stations into bytes, and what commands read back."""
