"""The log in PostgreSQL: blocks in a table, and the record of who appends to it."""
