"""A Dask scheduler and its workers as processes of their own, as on the machines of a cluster."""

import json
import os
import subprocess
import sys
from pathlib import Path

from system import wait_until

DASK = [sys.executable, "-m", "dask"]


class Cluster:
    """A scheduler on a port of its own; `add` starts workers of one core, each with its own spool."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.workers = []
        file = self.folder / "scheduler.json"
        self.log = (self.folder / "cluster.log").open("ab")
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", file
        )
        wait_until(lambda: file.exists() and file.stat().st_size > 2, seconds=120, what="the scheduler")
        self.address = json.loads(file.read_text())["address"]

    def add(self):
        """One worker more; gives its process."""
        number = len(self.workers)
        spool = self.folder / f"worker{number}"
        spool.mkdir()
        options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--name", f"w{number}")
        worker = self._start("worker", self.address, *options, "--local-directory", spool)
        self.workers.append(worker)
        return worker

    def _start(self, *arguments):
        # a worker has one core: the network in it is not to take those of the others
        return subprocess.Popen(
            [*DASK, *map(str, arguments)],
            stdout=self.log,
            stderr=self.log,
            cwd=self.folder,
            env=os.environ | {"OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s"},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait(timeout=30)
        self.log.close()
