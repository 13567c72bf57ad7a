"""What the middle asks of the outside, each port on one screen.

One contract suite runs over every implementation of a port (`tests/contracts`).
"""
