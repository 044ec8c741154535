"""Messages to people by Apprise, gathered so that many news are one message.

Each target has a box of its own: one that cannot be reached holds up no other, and gets what it missed later.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import structlog

from temwatch.errors import ConfigError
from temwatch.names import plural, printable
from temwatch.pauses import growing_pause_s

log = structlog.get_logger(__name__)

_GATHER_SECONDS = 30.0  # from the first news on, before they are sent
_FIRST_RETRY_SECONDS = 60.0  # after a failure; doubled each time
_LONGEST_RETRY_SECONDS = 3600.0
_MOST_NEWS = 1000  # that wait for one target
_MOST_LINES = 20  # of one kind in a message
_LONGEST_LINE = 300  # characters
# they would write addresses, tokens and what servers answer into the log
_TALKATIVE = ("apprise", "urllib3", "requests_oauthlib", "oauthlib")


class Kind(StrEnum):
    """What news are about; the values head their lines in a message."""

    OUTAGE = "The service"
    FAILED = "Files that failed"
    ENOUGH = "Samples with enough micrographs"
    TEST = "Test"


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something that people are told, in one line, and the sample that it is about, where it is about one."""

    kind: Kind
    text: str
    sample: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where messages go: what the log calls it, and what sends title and body and says whether it worked."""

    name: str
    send: Callable[[str, str], bool]


@dataclass(slots=True)
class _Box:
    target: Target
    waiting: list[News] = field(default_factory=list)
    omitted: int = 0
    due_s: float = 0.0
    failures: int = 0


def read_targets(path: Path) -> list[Target]:
    """Targets of a file with an address of Apprise a line; empty lines and those that begin with # are not.

    Raises
    ------
    ConfigError
        The file cannot be read, others than its owner may read it, or a line is no address. No line is
        quoted: addresses hold passwords.
    ModuleNotFoundError
        Apprise is not installed.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            lines = stream.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        detail = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {detail}; see [notify] targets_file") from None
    if mode & 0o077:
        raise ConfigError(f"{path}: holds passwords and may be read by others; fix it with chmod 600")
    addresses = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    found = [_target(path, number, line) for number, line in addresses if line and not line.startswith("#")]
    if not found:
        raise ConfigError(f"{path}: holds no address; see [notify] targets_file")
    return found


def _target(path: Path, number: int, address: str) -> Target:
    import apprise

    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # no plugins from files, nothing stored, no picture of another host
    asset = apprise.AppriseAsset(
        app_id="temwatch",
        async_mode=False,
        plugin_paths=[],
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        image_url_mask="",
        image_url_logo="",
    )
    sender = apprise.Apprise(asset=asset)
    plugin = apprise.Apprise.instantiate(address, asset=asset)
    if plugin is None:
        raise ConfigError(f"{path}:{number}: is no address that Apprise knows")
    sender.add(plugin)

    def send(title: str, body: str) -> bool:
        return bool(sender.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT))

    return Target(name=f"{plugin.service_name} ({path.name}:{number})", send=send)


class Outbox:
    """Gathers news and sends them; `turn` is called again and again."""

    def __init__(self, targets: Sequence[Target], pause_s: float, host: str = "") -> None:
        self._boxes = [_Box(target) for target in targets]
        self._pause_s = pause_s
        self._host = host or socket.gethostname()

    def add(self, news: Sequence[News], now_s: float) -> None:
        """Send these with the next message; `now_s` is of the monotonic clock."""
        for box in self._boxes:
            if news and not box.waiting:
                box.due_s = max(box.due_s, now_s + _GATHER_SECONDS)
            room = _MOST_NEWS - len(box.waiting)
            box.waiting += news[:room]
            box.omitted += len(news[room:])

    def turn(self, now_s: float) -> list[News]:
        """Send what is due; gives what a target took, once for each of them."""
        due = [box for box in self._boxes if box.waiting and now_s >= box.due_s]
        return [one for box in due for one in self._send(box, now_s)]

    def _send(self, box: _Box, now_s: float) -> list[News]:
        title, body = message(box.waiting, self._host, box.omitted)
        if box.target.send(title, body):
            log.info("message sent", target=box.target.name, news=len(box.waiting) + box.omitted)
            sent, box.waiting, box.omitted, box.failures = box.waiting, [], 0, 0
            box.due_s = now_s + self._pause_s
            return sent
        if not box.failures:
            log.warning("message not sent, will retry", target=box.target.name)
        box.failures += 1
        box.due_s = now_s + growing_pause_s(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS, box.failures)
        return []


def message(news: Sequence[News], host: str, omitted: int = 0) -> tuple[str, str]:
    """Title and body, both plain text, of one message with all these news."""
    kinds = {kind: [one.text for one in news if one.kind is kind] for kind in Kind}
    blocks, heads = [], []
    for kind, texts in kinds.items():
        if texts:
            lines = [f"- {_one_line(text)}" for text in texts[:_MOST_LINES]]
            if more := len(texts) - len(lines):
                lines.append(f"- and {more} more")
            blocks.append("\n".join([f"{kind}:", *lines]))
            heads.append(_head(kind, texts))
    if omitted:
        blocks.append(f"{omitted} further news are not listed.")
    return f"temwatch on {host}: {', '.join(heads)}", "\n\n".join(blocks)


def _head(kind: Kind, texts: Sequence[str]) -> str:
    match kind:
        case Kind.FAILED:
            return f"{plural(len(texts), 'file')} failed"
        case Kind.ENOUGH:
            return f"{plural(len(texts), 'sample')} with enough micrographs"
        case _:
            return _one_line(texts[-1])


def _one_line(text: str) -> str:
    words = " ".join(printable(text).split())
    return words if len(words) <= _LONGEST_LINE else f"{words[: _LONGEST_LINE - 4]} ..."
