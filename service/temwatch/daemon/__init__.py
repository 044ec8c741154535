"""The service itself: intake, composition root, systemd."""
