"""The stages read, segment, resolve, record and publish, shared by the daemon and the one-shot command."""
