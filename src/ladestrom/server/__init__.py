"""uvicorn, started in code, with two protocol classes of ours.

HTTP is `http`, WebSockets that are no streams are `websocket`; stream paths are served by `edges.websocket`.
`assembly` puts a server together.
"""
