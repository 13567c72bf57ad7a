"""A country's charging traffic, made up: for the demonstration and for load.

`country` builds stations, `traffic` says what happens at them, `reporting` decides when an operator tells
of it, `deliver` tells it to a server through the public report interface. Only `deliver` does I/O and looks
at a clock; everything else is a function of its arguments and of the `random.Random` it is given.

Must not know the server: it is a client like any operator.
"""
