"""The token that allows changes over HTTP: of the configured file, or one that the service makes."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from temwatch.config import Config

_NAME = "token"


def token_path(config: Config) -> Path:
    """The file with the token: as configured, or in the state folder."""
    return config.http.token_file or config.output.state / _NAME


def make_token(config: Config) -> None:
    """Make a token in the state folder, unless a file is configured or one was made before.

    Only the service's user can read it.

    Raises
    ------
    OSError
        The state folder cannot be written.
    """
    path = token_path(config)
    if config.http.token_file is not None or (path.is_file() and path.read_bytes().strip()):
        return
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(f"{secrets.token_urlsafe(32)}\n")
    temporary.replace(path)
