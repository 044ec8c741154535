"""`temwatch notify`: a test message, or a message that the service is down, for a timer beside it."""

from __future__ import annotations

import argparse
import json
import socket
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

from temwatch import config as configuration
from temwatch.config import Config
from temwatch.daemon import outbox
from temwatch.daemon.outbox import Kind, News
from temwatch.errors import StartError, UsageError
from temwatch.outputs.files import replacing

_ANSWER_SECONDS = 10.0
_NAME = "outage.json"  # in the state folder: since when the service has been down


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outage:
    since: str
    is_told: bool


def run(arguments: argparse.Namespace) -> int:
    """Send a message to every target; exit code 1 where one was not reached."""
    config = configuration.load(arguments.config)
    if config.notify.targets_file is None:
        raise UsageError(f"{arguments.config}: [notify] targets_file is not set, so nobody is told anything")
    if arguments.if_down:
        return _watch(config, datetime.now(UTC))
    return _send(config, News(kind=Kind.TEST, text="messages arrive"))


def _send(config: Config, news: News) -> int:
    assert config.notify.targets_file is not None
    title, body = outbox.message([news], socket.gethostname())
    failed = 0
    for target in outbox.read_targets(config.notify.targets_file):
        is_sent = target.send(title, body)
        print(f"{'sent to' if is_sent else 'not sent to'} {target.name}")  # noqa: T201
        failed += not is_sent
    return 1 if failed else 0


def _watch(config: Config, now: datetime) -> int:
    """Tell of an outage once, when it is long enough, and of its end; one that ends sooner is not told."""
    path = config.output.state / _NAME
    outage = _read(path)
    if is_up(config):
        path.unlink(missing_ok=True)
        if outage is None or not outage.is_told:
            return 0
        return _send(config, News(kind=Kind.OUTAGE, text="the service answers again"))
    if outage is None:
        _write(path, _Outage(since=now.isoformat(), is_told=False))
        return 0
    minutes = (now - datetime.fromisoformat(outage.since)).total_seconds() / 60
    if outage.is_told or minutes < config.notify.outage_minutes:
        return 0
    text = f"the service has not answered for {minutes:.0f} min; files that arrive meanwhile wait"
    code = _send(config, News(kind=Kind.OUTAGE, text=text))
    if code == 0:
        _write(path, _Outage(since=outage.since, is_told=True))
    return code


def is_up(config: Config) -> bool:
    """Whether the service answers at its port."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.http.host, config.http.host)
    address = f"[{host}]" if ":" in host else host
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{address}:{config.http.port}/healthz", timeout=_ANSWER_SECONDS) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code == HTTPStatus.TOO_MANY_REQUESTS  # behind a proxy all requests are of one client
    except (OSError, ValueError, HTTPException):
        return False


def _read(path: Path) -> _Outage | None:
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(path.read_text(encoding="utf-8"))
        datetime.fromisoformat(found["since"])
        return _Outage(since=found["since"], is_told=bool(found["is_told"]))
    return None


def _write(path: Path, outage: _Outage) -> None:
    try:
        with replacing(path) as stream:
            stream.write(json.dumps(asdict(outage)).encode())
    except OSError as error:
        raise StartError(f"{path}: cannot be written: {error.strerror}") from None
