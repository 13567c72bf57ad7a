"""What leaves ladestrom, pure: state and changes to bytes. The table names each format's module."""
