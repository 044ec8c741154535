"""A process that records and publishes as the engine does, and is killed for it.

It forks one child for each line of standard input, so that a round costs milliseconds: folder, step of the
acquisition, seconds after which the child is killed, and call at which it kills itself (0: never). The answer
is the child's exit code and, where it lived, how many such calls it made.
"""

import os
import signal
import sys
import time
from pathlib import Path

import pandas  # noqa: F401 - children that had to load these would do so for longer than they work
import pyarrow.parquet  # noqa: F401

from ledger_cases import START, arrival, result, sha256
from temwatch.ledger import open_ledger, queue, recording
from temwatch.outputs import sample_folder

LASTING = {"execute", "executemany", "write", "truncate", "fsync", "replace", "unlink", "mkdir", "open"}
STACK_FRAMES = 4


def acquisition(step):
    """Files after so many steps, as path, content and time: some are copies, some are replaced later."""
    files = [(f"Au/{number}.dm3", f"Au {number % 7}", 1) for number in range(min(step, 12))]
    files += [(f"Pt/{number}.dm3", f"Pt {number}", 1) for number in range(min(step, 5))]
    files += [("Au/stack.dm4", "stack", 1)] if step > 2 else []
    files += [("Au/3.dm3", "replaced", 2), ("Pt/1.dm3", "replaced", 2)] if step > 6 else []
    return list({path: (path, content, time_ns) for path, content, time_ns in files}.values())


def work(output, step, *, limit=10**9):
    """Take up what there is, and finish up to `limit` files."""
    ledger = open_ledger(output / ".temwatch")
    files = acquisition(step)
    contents = {path: content for path, content, _ in files}
    queue.add_all(
        ledger, (arrival(path, mtime_ns=time_ns, sample=path.partition("/")[0]) for path, _, time_ns in files)
    )
    for sample in {path.partition("/")[0] for path, *_ in files}:
        sample_folder.publish(ledger, output, sample)
    while limit and (claimed := queue.claim(ledger, 1, START)):
        (file,) = claimed
        content = contents[file.path]
        if recording.recognise(ledger, file.id, sha256(content), START) is None:
            if content == "stack":
                for frame in range(file.frames_recorded, STACK_FRAMES):
                    recording.record(
                        ledger,
                        file.id,
                        [result(content, 5, frame=frame)],
                        finished=frame == STACK_FRAMES - 1,
                        frames_total=STACK_FRAMES,
                    )
                    sample_folder.publish(ledger, output, file.sample)
            else:
                recording.record(ledger, file.id, [result(content, 20)])
        sample_folder.publish(ledger, output, file.sample)
        limit -= 1
    for sample in {path.partition("/")[0] for path, *_ in files}:
        sample_folder.write_formats(ledger, output, sample, ["parquet"])
    ledger.close()


def count_calls(fatal):
    """Count the calls that change something outside this process; before number `fatal` it dies."""
    made = [0]

    def look(_, event, function):
        if event == "c_call" and function.__name__ in LASTING:
            made[0] += 1
            if made[0] == fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(look)
    return made


def main():
    for order in sys.stdin:
        output, step, seconds, fatal = order.rstrip("\n").split("\t")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            made = count_calls(int(fatal)) if fatal != "0" else [0]
            work(Path(output), int(step))
            sys.setprofile(None)
            os.write(writing, str(made[0]).encode())
            os._exit(0)
        os.close(writing)
        if float(seconds):
            time.sleep(float(seconds))
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(code, os.read(reading, 20).decode() or 0, flush=True)
        os.close(reading)


if __name__ == "__main__":
    main()
