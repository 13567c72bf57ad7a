"""ladestrom: which EV charger is free, now and provably."""

__version__ = "0.1.0"
