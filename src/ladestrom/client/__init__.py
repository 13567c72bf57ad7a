"""What talks to a ladestrom server from outside: consumers, reporters, recordings."""
