"""Decides what is a change and writes it to the log: the only writer."""
