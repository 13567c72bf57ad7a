"""REST of version 2: stations and EVSEs as they are."""
