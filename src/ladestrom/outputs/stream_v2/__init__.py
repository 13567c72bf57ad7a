"""Version 2 of the stream: chained changes, over WebSocket and as server-sent events."""
