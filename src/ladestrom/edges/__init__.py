"""Where consumers connect: streams, REST, operations."""
