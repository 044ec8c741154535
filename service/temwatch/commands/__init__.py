"""One module a command that is more than one call."""
