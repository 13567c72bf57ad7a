"""NOBIL's own interface, version 3: `search.php` and `datadump.php`."""
