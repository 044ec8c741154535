"""`make attack`: one service under a memory limit, odd entries of every kind beside good micrographs.

It is killed and started again while it works, people and clients do what they should not, and at the end the
rows of ledger and tables are counted. To add a kind of file, append an `Entry` to `odd_entries.ENTRIES` or
`odd_pictures.PICTURES`, or a function to KINDS that writes into a folder of its own and takes what gives new
content; to add a deed, append to `attack_acts.RUNNING` or `BETWEEN`.
"""

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

import attack_acts
import sparse_files
from odd_entries import ENTRIES, FOLDERS
from odd_pictures import PICTURES
from system import COMMAND, Service, rows
from temwatch import compiled_code, simulator
from temwatch.ledger import Reader
from temwatch.names import as_text

Content = Callable[[], bytes]


def _huge(folder: Path, _: Content) -> None:
    """Some hundred kilobytes of deflate that become 14000 px."""
    image = np.full((14000, 14000), 200, np.uint8)
    image[5000:5100, 5000:5100] = 80
    scale = {"resolution": (1e8, 1e8), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(folder / "huge_1.tif", image, compression="zlib", **scale)


def _damaged(folder: Path, content: Content) -> None:
    """Cut, changed and random bytes under every name."""
    whole, random = content(), np.random.default_rng(1)
    for number, suffix in enumerate(("dm3", "dm4", "tif", "tiff"), 1):
        (folder / f"random_{number}.{suffix}").write_bytes(random.bytes(50_000))
        (folder / f"cut_{number}.{suffix}").write_bytes(whole[: len(whole) // number - 99])
        changed = np.frombuffer(whole, np.uint8).copy()
        changed[random.integers(0, 4000, 20)] = 255
        (folder / f"changed_{number}.{suffix}").write_bytes(changed.tobytes())
        (folder / f"empty_{number}.{suffix}").touch()


KINDS: dict[str, Callable[[Path, Content], None]] = {
    **{entry.name: entry.make for entry in (*ENTRIES, *PICTURES)},
    **sparse_files.KINDS,
    "huge": _huge,
    "damaged": _damaged,
}
"""What is written into a folder of this name below the watched one."""


class Progress:
    """The longest time in which files were pending and none got a row."""

    def __init__(self):
        self.rows, self.since_s, self.longest_s = -1, time.monotonic(), 0.0

    def look(self, receipt):
        now_s = time.monotonic()
        finished = receipt["seen"] - receipt["pending"]
        if finished != self.rows or not receipt["pending"]:
            self.rows, self.since_s = finished, now_s
        self.longest_s = max(self.longest_s, now_s - self.since_s)


def fill(watched: Path, content: Content, good: int) -> None:
    """Every kind in a folder of its own, with good micrographs beside it."""
    for name, make in KINDS.items():
        folder = watched / name
        folder.mkdir(parents=True)
        make(folder, content)
        for number in range(good):
            (folder / f"good_{number}.dm3").write_bytes(content())
    for name in FOLDERS:
        (watched / name).mkdir(exist_ok=True)
        (watched / name / "good_0.dm3").write_bytes(content())


def settle(service, progress: Progress, seconds: float) -> int:
    """Wait until nothing is pending; a service that has ended is started again and counted."""
    stops, deadline, quiet = 0, time.monotonic() + seconds, 0
    while time.monotonic() < deadline and quiet < 10:
        if service.process.poll() is not None:
            stops += 1
            service.start(command=service.limited)
        receipt = service.receipt()
        progress.look(receipt)
        quiet = quiet + 1 if receipt["seen"] and not receipt["pending"] else 0
        time.sleep(0.5)
    return stops


def count(service) -> dict[str, int]:
    """Files by what became of them, and rows that the tables lack or hold twice."""
    found = Counter()
    with Reader(service.state) as reader:
        for sample in (row.sample for row in reader.samples()):
            ledger = Counter((row.sha256, str(row.status)) for row in reader.micrographs(sample))
            lines = rows(service.output / sample / "micrographs.csv")
            tables = Counter((line["sha256"] or None, line["status"]) for line in lines)
            found["rows lost"] += (ledger - tables).total()
            found["rows doubled"] += (tables - ledger).total()
            contents = Counter(
                row.sha256
                for row in reader.micrographs(sample)
                if str(row.status) == "done" and row.frame is None
            )
            found["rows doubled"] += sum(number - 1 for number in contents.values())
        receipt = service.receipt()
        done = {
            row.micrograph
            for sample in reader.samples()
            for row in reader.micrographs(sample.sample)
            if str(row.status) == "done"
        }
    good = {as_text(str(path.relative_to(service.watched))) for path in service.watched.glob("*/good_*.dm3")}
    found["good ones without a result"] = len(good - done)
    found["files in"] = receipt["seen"]
    found["done"] = receipt["done"]
    found["with a reason"] = (
        receipt["refused"] + receipt["failed"] + receipt["duplicates"] + receipt["superseded"]
    )
    found["pending"] = receipt["pending"]
    return found


def attack(folder: Path, *, good: int, kills: int, memory_bytes: int, seconds: float) -> dict[str, float]:
    """Everything at once, then kills, then a last start that has to find nothing left to do."""
    series = folder / "series"
    list(simulator.write_series(series, micrographs=1, seed=1, size_px=256))
    whole = sorted(series.glob("*.dm3"))[0].read_bytes()
    numbers = itertools.count()
    service = Service(
        folder, output={"formats": ["csv", "xlsx", "parquet"]}, sequences={"folders": ["frames"]}
    )
    program = (
        f"import resource, runpy; resource.setrlimit(resource.RLIMIT_DATA, ({memory_bytes}, {memory_bytes}));"
        " runpy.run_module('temwatch', run_name='__main__')"
    )
    service.limited = (COMMAND[0], "-c", program, "run", "--config")
    content = lambda: whole + next(numbers).to_bytes(4)  # noqa: E731 - given on by name
    fill(service.watched, content, good)
    progress, stops = Progress(), 0
    service.start(command=service.limited)
    clients, longest_s = attack_acts.Clients(service), 0.0
    deeds = list(attack_acts.RUNNING)
    for number in range(kills):
        for _ in range(-(-len(deeds) // (kills - number + 1))):
            progress.look(service.receipt())
            deeds.pop(0)(service, content)
            time.sleep(2)
        service.kill()
        longest_s = max(longest_s, clients.longest_s())
        if number < len(attack_acts.BETWEEN):
            attack_acts.BETWEEN[number](service, content)
        service.start(command=service.limited)
        clients = attack_acts.Clients(service)
    for deed in deeds:
        deed(service, content)
    stops += settle(service, progress, seconds)
    longest_s = max(longest_s, clients.longest_s())
    code = service.stop()
    service.start(command=service.limited)
    stops += settle(service, progress, seconds) + (code != 0) + (service.stop() != 0)
    return {
        **count(service),
        "stops": stops,
        "longest time without progress, s": round(progress.longest_s, 1),
        "longest answer of /healthz, s": round(longest_s, 2),
    }


def main() -> int:
    """Print the table; 1 where a row was lost or doubled, a file is left over, or the service ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--good", type=int, default=1, help="good micrographs beside each odd entry")
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--memory-gib", type=float, default=3.0, help="limit of each process")
    parser.add_argument("--seconds", type=float, default=1800, help="time for all files after the last kill")
    chosen = parser.parse_args()
    compiled_code.keep_in(Path(sys.prefix))
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    table = attack(
        folder,
        good=chosen.good,
        kills=chosen.kills,
        memory_bytes=int(chosen.memory_gib * 2**30),
        seconds=chosen.seconds,
    )
    for name, value in table.items():
        print(f"{name:36}{value:>8}")
    bad = [
        name
        for name in (
            "rows lost",
            "rows doubled",
            "good ones without a result",
            "pending",
            "stops",
        )
        if table.get(name)
    ]
    if bad:
        print(f"failed: {', '.join(bad)}; see {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
