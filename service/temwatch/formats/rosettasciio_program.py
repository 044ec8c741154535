"""A program for the interpreter that has RosettaSciIO; `rosettasciio` runs it, and nobody imports it.

    python rosettasciio_program.py BYTES                     which extensions it reads
    python rosettasciio_program.py BYTES PATH                what the file holds
    python rosettasciio_program.py BYTES PATH SIGNAL FRAME   the same, and the pixels of a frame

It writes a line of JSON to standard output, and after it the pixels. An error ends it; the last line of
standard error says which. BYTES are what it may take of memory.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from typing import Any

_LONGEST_CPU_SECONDS = 600  # where nobody is left who would end it


def main(arguments: list[str]) -> None:
    """Answer one question."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit(int(arguments[0]))
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib may come from there
    sys.path[:] = [entry for entry in sys.path if entry != folder]  # its modules are not meant for others
    rsciio = importlib.import_module("rsciio")
    readers: dict[str, list[str]] = {}
    for plugin in rsciio.IO_PLUGINS:
        for extension in {str(extension).lower() for extension in plugin["file_extensions"]}:
            readers.setdefault(extension, []).append(plugin["api"])
    said: dict[str, Any] = {"version": rsciio.__version__, "readers": readers}
    pixels = b""
    if len(arguments) > 1:
        path = arguments[1]
        own = readers.get(path.rpartition(".")[2].lower(), [])
        if len(own) == 1:
            signals = _read(own[0], path)
            said["signals"] = [_described(signal) for signal in signals]
            if len(arguments) > 2:
                picture, said["dtype"] = _picture(signals[int(arguments[2])]["data"], int(arguments[3]))
                said["shape"], pixels = picture.shape, picture.data.cast("B")
    answer.write(json.dumps(said).encode() + b"\n")
    answer.write(pixels)
    answer.close()


def _end_with_parent() -> None:
    """Standard input ends when whoever started this has ended, however."""
    while os.read(0, 1):
        pass
    os._exit(1)


def _limit(memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    for kind, limit in ((resource.RLIMIT_DATA, memory_bytes), (resource.RLIMIT_CPU, _LONGEST_CPU_SECONDS)):
        most = resource.getrlimit(kind)[1]
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (limit, most))


def _read(api: str, path: str) -> list[dict[str, Any]]:
    read = importlib.import_module(api).file_reader
    if registry := sys.modules.get("numcodecs.registry"):
        registry.codec_registry.pop("pickle", None)  # a file that names it is a program, which older ones run
    try:
        return list(read(path, lazy=True))
    except (NotImplementedError, ValueError):  # this reader, or of this file, loads everything
        return list(read(path))


def _described(signal: dict[str, Any]) -> dict[str, Any]:
    data, said = signal["data"], signal.get("metadata", {})
    axes = sorted(signal["axes"], key=lambda axis: axis.get("index_in_array") or 0)
    return {
        "shape": list(map(int, data.shape)),
        "kind": "V" if data.dtype.fields else data.dtype.kind,
        "axes": [
            {
                "scale": _plain(axis.get("scale")),
                "unit": _plain(axis.get("units")),
                "is_navigation": bool(axis.get("navigate")),
            }
            for axis in axes
        ],
        "date": _at(said, "General", "date"),
        "time": _at(said, "General", "time"),
        "voltage_kV": _at(said, "Acquisition_instrument", "TEM", "beam_energy"),
        "magnification": _at(said, "Acquisition_instrument", "TEM", "magnification"),
        "instrument": _at(said, "Acquisition_instrument", "TEM", "microscope"),
    }


def _at(said: Any, *names: str) -> str | float | None:
    for name in names:
        said = said.get(name) if isinstance(said, dict) else None
    return _plain(said)


def _plain(value: Any) -> str | float | None:
    """A text or number as JSON has it; numbers may be of numpy, and None stands for anything else."""
    if isinstance(value, str):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _picture(data: Any, frame: int) -> tuple[Any, str]:
    """One picture, in the order of bytes of this machine, and its type."""
    import numpy as np

    picture = np.ascontiguousarray(data if data.ndim == 2 else data[frame])
    picture = picture.astype(picture.dtype.newbyteorder("="), copy=False)
    return picture, picture.dtype.str


if __name__ == "__main__":
    main(sys.argv[1:])
