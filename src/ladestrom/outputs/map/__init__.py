"""For those who look: the map, what goes on, what was."""
