"""Run by an interpreter with RosettaSciIO: writes micrographs and what is none into a folder."""

import json
import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import rsciio.blockfile
import rsciio.hspy
import rsciio.semper
import rsciio.tvips
import rsciio.zspy

NM, TIME, PLACE = (2.0, "nm", False), (2.0, "s", True), (1.0, "nm", True)


class Program:
    def __reduce__(self):
        return os.system, ("touch executed",)


def signal(data, *axes):
    """What RosettaSciIO's writers take; `axes` are scale, unit, and whether it is one of navigation."""
    described = [
        {"name": name, "units": unit, "scale": scale, "size": size, "offset": 0.0, "navigate": navigate}
        | {"index_in_array": place, "_type": "UniformDataAxis"}
        for place, (name, size, (scale, unit, navigate)) in enumerate(
            zip("abcd", data.shape, axes, strict=False)
        )
    ]
    return {
        "data": data,
        "axes": described,
        "metadata": {
            "General": {"title": "Au", "date": "2024-05-17", "time": "12:13:14"},
            "Signal": {"signal_type": ""},
            "Acquisition_instrument": {"TEM": {"beam_energy": 200.0, "magnification": 50000.0}},
        },
        "original_metadata": {},
        "package_info": {"package": "temwatch", "package_version": "0"},
        "attributes": {"_lazy": False, "ragged": False},
        "learning_results": {},
        "models": {},
        "tmp_parameters": {},
    }


def write_object(source, target):
    """A copy of a zarr file in which the pixels are a Python object that runs a program."""
    with zipfile.ZipFile(source) as archive:
        entries = {entry.filename: archive.read(entry.filename) for entry in archive.infolist()}
    (array,) = [name for name in entries if name.endswith("data/.zarray")]
    filters = {"compressor": None, "filters": [{"id": "pickle", "protocol": 5}]}
    entries[array] = json.dumps(json.loads(entries[array]) | filters).encode()
    (block,) = [name for name in entries if name.endswith("data/0.0")]
    entries[block] = pickle.dumps(Program())
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


os.chdir(sys.argv[1])
random = np.random.default_rng(7)
stack = random.integers(1, 4000, (3, 40, 64)).astype(np.uint16)
np.save("stack.npy", stack)
picture = signal(stack[0], NM, NM)
rsciio.hspy.file_writer("a.hspy", picture)
rsciio.zspy.file_writer("a.zspy", picture, store_type="zip")
rsciio.semper.file_writer("a.unf", signal(stack[0].astype(np.float32), NM, NM))
rsciio.tvips.file_writer("a_000.tvips", signal(stack, TIME, NM, NM))
scan = stack[:, :16, :64].reshape(3, 4, 16, 16).astype(np.uint8)
rsciio.blockfile.file_writer("a.blo", signal(scan, PLACE, PLACE, *[(1.0, "cm", False)] * 2))
rsciio.hspy.file_writer("reciprocal.hspy", signal(stack[0], *[(1.0, "1/nm", False)] * 2))
rsciio.hspy.file_writer("spectra.hspy", signal(stack, PLACE, PLACE, (1.0, "eV", False)))
rsciio.hspy.file_writer("without.hspy", signal(stack[0], *[(1.0, None, False)] * 2))
write_object("a.zspy", "object.zspy")
shutil.copy("a.hspy", "a.dm5")
Path("damaged.hspy").write_bytes(Path("a.hspy").read_bytes()[:3000])
y, x = np.mgrid[:256, :256]
distance = np.minimum.reduce([np.hypot(y - a, x - b) for a in (64, 190) for b in (64, 190)])
discs = np.where(distance < 25, 60, 120) + random.normal(0, 2, distance.shape)
rsciio.hspy.file_writer("discs.hspy", signal(discs.astype(np.float32), NM, NM))
