"""The French file of statuses: IRVE dynamique."""
