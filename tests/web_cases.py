"""The real application on a real ledger, served on a free port."""

import shutil
import signal
import threading
from datetime import UTC, datetime

import httpx
from prometheus_client import CollectorRegistry

from temwatch.config import Config
from temwatch.engine import decisions
from temwatch.ledger import Reader, open_ledger
from temwatch.metrics import Vitals
from temwatch.web import app, server
from temwatch.web.events import Hub
from temwatch.web.security import RequestLimits

TOKEN = "correct horse battery staple"
GENEROUS = RequestLimits(burst=1_000_000, requests_per_second=1e6)


def copied(analysed, folder):
    """Results of their own for tests that change them."""
    shutil.copytree(analysed, folder, dirs_exist_ok=True)
    return folder / "results"


def never_written(_ledger, stream):
    """A download that takes for ever."""
    stream.write(b"begun")
    stream.flush()
    signal.pause()


def not_written(_ledger, _stream):
    """A download that cannot be made."""
    raise ZeroDivisionError("of the download")


class Site:
    """The application without a daemon; `vitals` and `hub` stand for it."""

    def __init__(self, output, *, limits=GENEROUS, token=TOKEN, vitals=None, deadlines=None, **http):
        self.deadlines = deadlines
        self.output = output
        if token:
            self.token_file = output.parent / "token"
            self.token_file.write_text(f"{token}\n")
            http["token_file"] = str(self.token_file)
        self.config = Config.model_validate(
            {
                "watch": {"folder": str(output.parent / "acquisition")},
                "output": {"folder": str(output)},
                "http": {"listen": "127.0.0.1:0"} | http,
            }
        )
        self.vitals = vitals or Vitals(
            ready=True,
            watch_folder_up=True,
            gpu_healthy=True,
            output_writable=True,
            output_free_bytes=None,
            workers_hung=0,
            last_scan_at=datetime.now(UTC),
            event_overflows=0,
            entries_skipped={},
        )
        self.hub = Hub()
        self._decides = threading.Lock()
        self.app = app.build(
            config=self.config,
            reader=lambda: Reader(self.config.output.state),
            registry=CollectorRegistry(),
            hub=self.hub,
            vitals=lambda: self.vitals,
            decide=self.decide,
            limits=limits,
        )

    def decide(self, kind, arguments):
        """As the service does it, which holds the ledger all the time."""
        with self._decides, open_ledger(self.config.output.state) as ledger:
            return decisions.decide(ledger, kind, arguments).answer

    def __enter__(self):
        channel = server.bind(self.config.http)
        self.url = server.address(channel)
        self.server = server.Server(self.app, channel, self.deadlines)
        self.server.start()
        self.client = httpx.Client(base_url=self.url, timeout=60)
        return self

    def __exit__(self, *_):
        self.client.close()
        self.server.stop()

    def get(self, path, **options):
        """Any response."""
        return self.client.get(path, **options)

    def json(self, path, **options):
        """The body of a successful response."""
        answer = self.get(path, **options)
        assert 200 == answer.status_code, (path, answer.text)
        return answer.json()

    def reader(self):
        """A reader of the same ledger."""
        return Reader(self.config.output.state)
