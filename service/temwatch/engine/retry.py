"""What deserves another attempt, and when.

A fault of the file's own (it is short, it is no micrograph) is final. A share that stammers, a writer that
still holds the file, a worker that died may be better later. A full disk and a share that is gone are no
fault of any file: everything waits, and no attempt is counted.
"""

from __future__ import annotations

import errno

from temwatch.errors import InputError

RETRY_AFTER_S = (2.0, 10.0, 60.0, 600.0)
"""Seconds before the second, third ... attempt at a file; after the last one it has failed."""

MAX_CRASHES = 3
"""A file on which this many workers died is failed; from the first on it runs alone."""

STUCK_SECONDS = 1800.0
"""A worker that has given no sign for so long is ended; a large stack on a slow share takes minutes."""

FULL_DISK_PAUSE_S = 2.0
"""Seconds before the engine looks whether there is space again."""

_MAY_PASS = {"input_output", "permission_denied", "vanished", "changed"}


def may_pass(error: InputError) -> bool:
    """Whether the file may be readable later."""
    return error.code in _MAY_PASS


def is_full_disk(error: BaseException) -> bool:
    """Whether a write failed for want of space."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
