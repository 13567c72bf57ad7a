"""All stations, and all EVSEs, as files of open forms: GeoJSON, CSV, JSON lines."""
