"""What the service tells systemd, over the datagram socket of sd_notify(3); silent where there is none."""

from __future__ import annotations

import os
import socket

from temwatch.names import as_text


def notify(**fields: str) -> None:
    """Send fields such as READY="1" or STATUS="3 queued"; values are kept to one line."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    text = "\n".join(f"{name}={' '.join(as_text(value).split())}" for name, value in fields.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.sendto(text.encode(), address)


def watchdog_seconds() -> float | None:
    """Half of the time in which systemd wants a sign of life, or None where it wants none."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    wanted_of = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdigit() or wanted_of != str(os.getpid()):
        return None
    return int(microseconds) / 2e6
