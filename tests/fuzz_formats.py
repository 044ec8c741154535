"""Damages files and reads them, in a process of its own: `python fuzz_formats.py WHOLE... CASES`.

Whatever is done to a file, reading it ends in a micrograph or in one line of reason, within seconds of
processor time. Prints the outcomes and the memory that the process had at most.
"""

import json
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from temwatch import formats
from temwatch.errors import REFUSAL_CODES, InputError

CASE_CPU_SECONDS = 20.0
LONGEST_READ = 64 * 1024**2  # pixels of what is loaded; a file of kilobytes never holds more

PLACE = st.floats(0, 1, exclude_max=True)
EXTREMES = [0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]
NUMBER = st.tuples(
    st.sampled_from(EXTREMES) | st.integers(0, 2**64 - 1),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from(["little", "big"]),
)
DAMAGE = st.one_of(
    st.tuples(st.just("flip"), PLACE, st.integers(0, 7)),
    st.tuples(st.just("number"), PLACE, NUMBER),
    st.tuples(st.just("bytes"), PLACE, st.binary(min_size=1, max_size=16)),
    st.tuples(st.just("insert"), PLACE, st.binary(min_size=1, max_size=16)),
    st.tuples(st.just("remove"), PLACE, st.integers(1, 64)),
    st.tuples(st.just("repeat"), PLACE, st.integers(1, 512)),
    st.tuples(st.just("move"), PLACE, PLACE),
    st.tuples(st.just("cut"), PLACE, st.none()),
)


def damaged(content, damages, spared):
    """The file after all of it; what would fall into the pixels, most of the file, falls into its tags."""
    start, end = spared
    tags = [*range(start), *range(end, len(content))]
    for kind, place, what in damages:
        at = min(tags[int(place * len(tags))], len(content))
        match kind:
            case "flip" if at < len(content):
                content[at] ^= 1 << what
            case "number":
                value, size, order = what
                content[at : at + size] = (value % 256**size).to_bytes(size, order)
            case "bytes":
                content[at : at + len(what)] = what
            case "insert":
                content[at:at] = what
            case "remove":
                del content[at : at + what]
            case "repeat":
                content[at:at] = content[at : at + what]
            case "move":
                to = int(what * len(content))
                content[to : to + 32] = content[at : at + 32]
            case "cut":
                del content[at:]
    return bytes(content)


def outcome(path):
    """Code of the refusal, or "read"."""
    formats.complete(path)
    try:
        source = formats.open_source(path)
        height, width = source.shape
        assert 0 < height * width <= LONGEST_READ
        source.load(0)
        if source.frames is not None:
            source.load(source.frames - 1)
    except InputError as error:
        code, reason = error.code, str(error)
    else:
        return "read"
    assert "\n" not in reason
    assert code in REFUSAL_CODES
    return code


def most_memory_bytes():
    """Of this program alone: getrusage tells of whoever started it as well."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def main():
    *names, cases = sys.argv[1:]
    wholes = [Path(name).read_bytes() for name in names]
    spared = [(whole.index(b"PIXELS..."), whole.rindex(b"...PIXELS")) for whole in wholes]
    outcomes = Counter()

    def too_long(*_):
        raise AssertionError(f"more than {CASE_CPU_SECONDS} s of processor time")

    signal.signal(signal.SIGPROF, too_long)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:

        @settings(
            max_examples=int(cases),
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(which=st.sampled_from(range(len(wholes))), damages=st.lists(DAMAGE, min_size=1, max_size=6))
        def read(which, damages):
            path = Path(folder, f"a{Path(names[which]).suffix}")
            path.write_bytes(damaged(bytearray(wholes[which]), damages, spared[which]))
            signal.setitimer(signal.ITIMER_PROF, CASE_CPU_SECONDS)
            try:
                outcomes[outcome(path)] += 1
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)

        read()
    print(json.dumps({"outcomes": outcomes, "memory_bytes": most_memory_bytes()}))


if __name__ == "__main__":
    main()
