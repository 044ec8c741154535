"""The memory that the machine gives to this program, and how much of it a picture needs."""

from __future__ import annotations

from pathlib import Path

from temwatch import operating_system

LARGEST_WHOLE_PX = 2**25
"""Pixels of the largest picture that is segmented whole; larger ones are worked through in pieces. Size alone
decides, so that no result depends on the memory of the machine."""

_WHOLE_BYTES_PER_PX = 64
_BYTES_PER_PX = 12
_BYTES_PER_PX_BY_NETWORK = 24
_PIECE_BYTES = 4096**2 * _WHOLE_BYTES_PER_PX
_USABLE_SHARE = 0.85
_MAIN_PROCESS_BYTES = 400 * 1024**2
_WORKER_BYTES = 150 * 1024**2
_SMALLEST_BUDGET_BYTES = 64 * 1024**2

_MEMBERSHIP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def is_large(shape: tuple[int, int]) -> bool:
    """Whether a picture (y, x) is worked through in pieces."""
    return shape[0] * shape[1] > LARGEST_WHOLE_PX


def needed_bytes(shape: tuple[int, int], bytes_per_sample: int = 4, *, by_network: bool = False) -> int:
    """What all processes together need at most for a picture (y, x), from reading to drawing.

    A large one waits on disk: read, segmented by the threshold and drawn it took 6, 3 and 2 bytes a pixel,
    measured at 8192 px; beside that the piece in hand counts. A whole service with a mosaic of 16384 px and
    37,642 particles took 2.9 GB of the 4.3 GB that this says. A network says more of each pixel, and all of
    it goes to a worker: with that, 8192 px took 22 bytes a pixel. Of whole ones the bound is generous.
    """
    pixels = shape[0] * shape[1]
    if not is_large(shape):
        return pixels * _WHOLE_BYTES_PER_PX
    each = _BYTES_PER_PX_BY_NETWORK if by_network else _BYTES_PER_PX
    return pixels * max(each, bytes_per_sample + 6) + _PIECE_BYTES


def budget_bytes(workers: int) -> int:
    """What pictures may take of the memory of machine, control group, `ulimit -v` and `ulimit -d`."""
    shared = _USABLE_SHARE * limit_bytes() - _MAIN_PROCESS_BYTES - workers * _WORKER_BYTES
    for limit, used in operating_system.own_limits():
        shared = min(shared, _USABLE_SHARE * limit - used)
    return max(int(shared), _SMALLEST_BUDGET_BYTES)


def limit_bytes() -> int:
    """Memory of the machine, or of the smallest control group around this process."""
    found = [operating_system.memory_bytes()]
    try:
        lines = _MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return found[0]
    for line in lines:
        _, controllers, place = line.split(":", 2)
        if not controllers:  # version 2
            found += _limits(_GROUPS, place, ("memory.max", "memory.high"))
        elif "memory" in controllers.split(","):
            found += _limits(_GROUPS / "memory", place, ("memory.limit_in_bytes",))
    return min(found)


def _limits(mount: Path, place: str, names: tuple[str, ...]) -> list[int]:
    """Limits of a control group and of those around it; in a container the mount itself is the group."""
    group = mount / place.strip("/")
    found = []
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mount):
            break
        for name in names:
            try:
                found.append(int((folder / name).read_text(encoding="ascii")))
            except (OSError, ValueError):  # there is none, or it is "max"
                continue
    return [limit for limit in found if limit > 0]
