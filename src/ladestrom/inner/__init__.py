"""Between the processes of one server: whatever a process does not answer itself goes to the one that writes.

The process that writes listens on an *inner* address, which is a Unix socket in the data directory, or a URL.
There it answers everything that it serves, and what is only for other processes (`ladestrom.inner.service`).
The address of the client travels in a header that is believed there and nowhere else.
"""

from __future__ import annotations

from typing import Final

CLIENT_HEADER: Final = b"ladestrom-client"
"""Names the IP address of the client whose request is passed on. Believed on an inner address only."""
PREFIX: Final = "/inner/"
"""Of what is only for other processes: never passed on, and not there on a public address."""
KEY_HEADER: Final = b"ladestrom-cluster-key"
"""What another process shows where the inner address is no Unix socket."""
