"""Asks the running service to change the ledger; without a service, changes it here."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

import structlog

from temwatch import compiled_code
from temwatch.config import Config
from temwatch.errors import StartError
from temwatch.formats import rosettasciio
from temwatch.ledger import Reader, is_held, open_ledger, post_request
from temwatch.ledger.requests import answer_to

_TIMEOUT_SECONDS = 6 * 3600.0  # a rebuild of a large sample; the lock shows whether the service still runs


def ask_service(config: Config, kind: str, **arguments: Any) -> dict[str, Any]:
    """Carry out one request; see `engine.requests.act`.

    Raises
    ------
    StartError
        There is no ledger, or the request failed.
    """
    state = config.output.state
    with Reader(state):
        pass  # raises LedgerMissing
    if not is_held(state):
        structlog.configure(  # what a service writes to its log is not the answer of a command
            wrapper_class=structlog.make_filtering_bound_logger("error"),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )
        rosettasciio.use(config.watch.rosettasciio)
        compiled_code.keep_in(compiled_code.service_folder(state))
        from temwatch.engine import requests, sequence_tracker  # load numba

        with open_ledger(state) as ledger:
            try:
                workers = requests.workers_here(config)
                done = requests.complete(requests.act(ledger, config, kind, arguments, workers))
                if kind != "retry":
                    sequence_tracker.catch_up(ledger, config)
                return done
            except OSError as error:
                raise StartError(f"cannot write: {error}") from None
    number = post_request(state, kind, arguments, datetime.now(UTC))
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    with Reader(state) as reader:
        while (text := answer_to(reader, number)) is None:
            if not is_held(state):
                raise StartError("the service stopped before it answered; try again")
            if time.monotonic() > deadline:
                raise StartError(
                    f"the running service has not answered for {_TIMEOUT_SECONDS:.0f} s; see its log"
                )
            time.sleep(0.1)
    answer: dict[str, Any] = json.loads(text)
    if "error" in answer:
        raise StartError(str(answer["error"]))
    return answer
