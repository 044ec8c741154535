"""The composition root of the service, its logs, systemd, and the probes of device and results."""
