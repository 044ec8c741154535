"""RosettaSciIO for tests: the real one where TEMWATCH_RSCIIO names it, and a library that behaves badly."""

import os
import sys
from pathlib import Path

PYTHON = os.environ.pop("TEMWATCH_RSCIIO", None)
"""Interpreter that has the real one; taken out of the environment, so that no other test reads by it."""

WRITER = Path(__file__).with_name("rosettasciio_writer.py")
"""Program for that interpreter: writes micrographs and what is none into a folder."""

_LIBRARY = """
__version__ = "0.0"
IO_PLUGINS = [
    {"name": "One", "api": "rsciio.one", "file_extensions": ["one", "ONE", "two"]},
    {"name": "Other", "api": "rsciio.one", "file_extensions": ["two"]},
]
"""
_READER = """
import json, os, sys, time
import numpy as np

def file_reader(path, lazy=False):
    with open(path) as stream:
        said = json.load(stream)
    if lazy and not said.get("lazy", True):
        raise NotImplementedError
    print("libraries print")
    assert os.path.basename(path) == said.get("name", os.path.basename(path))
    match said.get("do"):
        case "crash":
            os.abort()
        case "hang":
            time.sleep(600)
        case "hoard":
            np.ones(2**50)
        case "need":
            import h5pyy
        case "leave":
            os._exit(5)
    for signal in said["signals"]:
        signal["data"] = np.arange(np.prod(signal["shape"])).reshape(signal["shape"]).astype(signal["dtype"])
    return said["signals"]
"""


def stand_in(folder):
    """An interpreter with a small library of RosettaSciIO's name, which does what a file asks it to."""
    package = folder / "library" / "rsciio"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(_LIBRARY)
    (package / "one.py").write_text(_READER)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{package.parent}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python


def signal(shape, axes, dtype="<u2"):
    """What RosettaSciIO gives of a signal; `axes` are scale, unit, and whether it is one of navigation."""
    described = [
        {"index_in_array": place, "scale": scale, "units": unit, "navigate": navigate, "size": shape[place]}
        for place, (scale, unit, navigate) in enumerate(axes)
    ]
    general = {"title": "Au", "date": "2024-05-17", "time": "12:13:14"}
    microscope = {"beam_energy": 200.0, "magnification": 50000.0, "microscope": "Talos"}
    return {
        "shape": shape,
        "dtype": dtype,
        "axes": described[::-1],  # their order is that of index_in_array
        "metadata": {"General": general, "Acquisition_instrument": {"TEM": microscope}},
    }
