"""The NOBIL real-time stream API (2013 to 2017): version 1 of the stream, and its REST."""
