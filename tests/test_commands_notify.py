"""Whether the service counts as up, for `temwatch notify --if-down`."""

import socketserver
import threading

import pytest

from temwatch.commands import notify
from temwatch.config import Config


@pytest.mark.parametrize(
    ("answer", "is_up"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 429 Too Many Requests\r\n\r\n", True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", False),
        (b"220 mail.example.org\r\n", False),
        (b"", False),
    ],
)
def test_what_answers_and_is_not_down(tmp_path, answer, is_up):
    """A service that refuses one request more is alive; another program at its port is no service."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.rfile.readline()
            self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = Config.model_validate(
            {
                "watch": {"folder": tmp_path},
                "output": {"folder": tmp_path / "out"},
                "http": {"listen": f"127.0.0.1:{server.server_address[1]}"},
            }
        )
        assert is_up is notify.is_up(config)
        server.shutdown()
