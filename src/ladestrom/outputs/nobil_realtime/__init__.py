"""NOBIL Real-time, as Enova's service offers it: each change a message, on an address that is good once."""
