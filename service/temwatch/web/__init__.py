"""HTTP: the live page, the JSON API, events, health and metrics, on one port."""
