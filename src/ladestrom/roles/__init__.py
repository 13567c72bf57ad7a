"""What a process does: it writes the log, takes deliveries, serves readers. One process does all of it."""
