"""EMD files of Thermo Fisher's Velox: HDF5 with the pictures of every detector and their metadata as JSON.

The layout is not published by its maker; the authors of RosettaSciIO and of ncempy describe it::

    /Version                    JSON: {"format": "Velox", "version": "11"}
    /Data/Image/<id>/Data       pixels, shape (y, x, frames)
    /Data/Image/<id>/Metadata   bytes, shape (length, frames): the JSON of each frame
    /Data/SpectrumStream        X-ray spectra, as /Data/SpectrumImage
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from temwatch.domain import Image, Metadata
from temwatch.errors import Refused
from temwatch.formats import calibration, clock, hdf5
from temwatch.formats.calibration import Axes, Axis
from temwatch.formats.source import Source, check_index, check_side, micrograph_image
from temwatch.formats.values import number, text

FORMAT = "Velox EMD"
_LAST_VERSION = 11
_NOTHING = ("not_a_micrograph", "no picture")
_SPECTRA = ("SpectrumStream", "SpectrumImage")
# what is measured where several detectors recorded together: the first whose name begins so
_PREFERRED = ("HAADF", "BF")


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture of the file: name, shape (y, x, frames), what is said of its first frame, and axes."""

    name: str
    shape: tuple[int, int, int]
    said: dict[str, Any]
    axes: Axes

    @property
    def detector(self) -> str:
        index = _at(self.said, "BinaryResult", "DetectorIndex")
        named = _at(self.said, "BinaryResult", "Detector") or _at(
            self.said, "Detectors", f"Detector-{index}", "DetectorName"
        )
        return text(named)[:40]


def open_source(path: Path, *, pixel_size_nm: float | None = None) -> Source:
    """Open an EMD file without loading its pixels.

    Of several detectors that recorded together, HAADF is read, else BF, else none.

    `pixel_size_nm` fills a missing pixel size; it never overrides one that the file states.

    Raises
    ------
    InputError
        Refused or Unreadable, with a code of `errors` and one line that says what would help.
    """
    with hdf5.opened(path, FORMAT) as file:
        _check_version(file)
        if any(file.names("Data", kind) for kind in _SPECTRA):
            raise Refused(
                "spectroscopy", "holds a spectrum image; export the micrograph itself from Velox as TIFF"
            )
        picture = _chosen(_pictures(file))
        file.check_held("Data", "Image", picture.name, "Data")
        _check_last_frame(file, picture)
    nm, stated_nm = calibration.pixel_size_nm(*picture.axes, given_nm=pixel_size_nm)
    height, width, count = picture.shape
    check_side((height, width))
    frames = count if count > 1 else None

    def load(index: int) -> Image:
        check_index(index, frames)
        with hdf5.opened(path, FORMAT) as file:
            pixels = file.frame(picture.shape, index, "Data", "Image", picture.name, "Data")
        return micrograph_image(pixels, single=frames is None)

    return Source(
        path=path,
        shape=(height, width),
        frames=frames,
        pixel_size_nm=nm,
        stated_pixel_size_nm=stated_nm,
        acquired_at=_acquired_at(picture.said),
        metadata=_metadata(picture.said),
        interval_s=_positive(picture.said, "Scan", "FrameTime") if frames else None,
        load=load,
    )


def complete(path: Path) -> bool | None:  # noqa: ARG001 - part of the protocol
    """None: HDF5 fills the blocks of a file in any order."""
    return None


def _check_version(file: hdf5.HdfFile) -> None:
    """Refuse other kinds of EMD, and versions whose layout nobody has described."""
    if not {"Version", "Data"} <= set(file.names()):
        raise Refused(
            "not_a_micrograph",
            "is an HDF5 file, but none of Velox (other kinds of EMD are not read); export it as TIFF",
        )
    said = file.json(0, "Version")
    version, program = text(str(said.get("version", "")))[:20], text(said.get("format"))[:20]
    if program != "Velox" or not version.isdecimal() or not 1 <= int(version) <= _LAST_VERSION:
        raise Refused(
            "not_a_micrograph",
            f"is of the version {version or '(none)'} of {program or 'EMD'}, which is not known (Velox up to"
            f" {_LAST_VERSION} is); export it as TIFF",
        )


def _pictures(file: hdf5.HdfFile) -> list[_Picture]:
    """The grey pictures of a file.

    Raises
    ------
    Refused
        not_grey or not_a_micrograph: there is none.
    """
    found: list[_Picture] = []
    others: set[str] = set()
    for name in file.names("Data", "Image"):
        place = ("Data", "Image", name)
        extent = file.extent(*place, "Data")
        if extent is None or len(extent.shape) != 3 or 0 in extent.shape:
            continue
        if _is_grey(extent.dtype):
            said = file.json(0, *place, "Metadata")
            height, width, count = extent.shape
            found.append(_Picture(name, (height, width, count), said, _axes(said)))
        else:
            others.add(_in_words(extent.dtype))
    if not found:
        code, what = ("not_grey", " and ".join(sorted(others)) + " alone") if others else _NOTHING
        raise Refused(code, f"holds {what}; export the micrograph itself from Velox as TIFF")
    return found


def _is_grey(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iuf" and "enum" not in (dtype.metadata or {})


def _in_words(dtype: np.dtype[Any]) -> str:
    """What pixels are that are no grey values."""
    if dtype.kind in "cV":  # Velox keeps Fourier transforms and vectors of phase contrast as pairs of numbers
        return "complex numbers"
    if dtype.kind == "b":
        return "a mask (true or false)"
    return "labels (an enumeration)" if dtype.kind in "iu" else "no numbers"


def _chosen(grey: Sequence[_Picture]) -> _Picture:
    """The picture that is measured."""
    real = [picture for picture in grey if not any(calibration.is_no_length(axis) for axis in picture.axes)]
    candidates = real or grey[:1]  # of one that is refused, the reason is its own
    if len(candidates) == 1:
        return candidates[0]
    for prefix in _PREFERRED:
        named = [picture for picture in candidates if picture.detector.upper().startswith(prefix)]
        if len(named) == 1:
            return named[0]
    names = ", ".join(sorted({picture.detector or "?" for picture in candidates}))
    raise Refused(
        "not_a_sequence",
        f"holds {len(candidates)} pictures taken together ({names[:120]}), none of them HAADF or BF alone;"
        " export the one that is to be measured",
    )


def _check_last_frame(file: hdf5.HdfFile, picture: _Picture) -> None:
    """Refuse a stack whose scale changed on the way."""
    place = ("Data", "Image", picture.name, "Metadata")
    described = file.extent(*place)
    last = 0 if described is None or len(described.shape) != 2 else described.shape[1] - 1
    if last > 0 and _axes(file.json(last, *place)) != picture.axes:
        raise Refused("not_a_sequence", "has frames of different pixel size; save them as single micrographs")


def _axes(said: dict[str, Any]) -> Axes:
    result = _at(said, "BinaryResult")
    x, y = (
        Axis(number(_at(result, "PixelSize", side)), text(_at(result, f"PixelUnit{axis}")))
        for side, axis in (("width", "X"), ("height", "Y"))
    )
    return x, y


def _acquired_at(said: dict[str, Any]) -> datetime | None:
    seconds = _positive(said, "Acquisition", "AcquisitionStartDatetime", "DateTime")
    return clock.from_epoch_ms(None if seconds is None else seconds * 1e3)


def _metadata(said: dict[str, Any]) -> Metadata:
    voltage_V = _positive(said, "Optics", "AccelerationVoltage")  # noqa: N806 - the unit's own spelling
    names = (text(_at(said, "Instrument", key)) for key in ("Manufacturer", "InstrumentModel"))
    index = _at(said, "BinaryResult", "DetectorIndex")
    return Metadata(
        voltage_kV=voltage_V / 1e3 if voltage_V else None,
        magnification=_positive(said, "Optics", "NominalMagnification"),
        instrument=" ".join(filter(None, names))[:80] or None,
        exposure_s=_positive(said, "Detectors", f"Detector-{index}", "ExposureTime"),
    )


def _at(said: Any, *names: str) -> Any:
    """What lies at a place in nested dicts; None where there is none."""
    for name in names:
        said = said.get(name) if isinstance(said, dict) else None
    return said


def _positive(said: dict[str, Any], *names: str) -> float | None:
    value = number(_at(said, *names))
    return value if value is not None and 0 < value < 1e300 else None
