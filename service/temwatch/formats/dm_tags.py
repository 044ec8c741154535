"""The tags of a DigitalMicrograph file (dm3, dm4), through ncempy, and what they say of the acquisition."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from temwatch.domain import Metadata
from temwatch.formats import clock

# Bounds for damaged headers; the largest seen in real files are some kB of text and about 20 000 reads.
_LONGEST_TAG_BYTES = 1024**2
_MOST_READS = 5_000_000


def _ncempy_dm() -> ModuleType:
    """Load the module of ncempy that reads DigitalMicrograph files, without the package around it.

    The package imports pyplot: 0.6 s at every start, and a font cache in a home that a service lacks.
    """
    package = importlib.util.find_spec("ncempy")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("ncempy is not installed", name="ncempy")
    file = Path(package.submodule_search_locations[0], "io", "dm.py")
    spec = importlib.util.spec_from_file_location("ncempy.io.dm", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _Header(_ncempy_dm().fileDM):  # type: ignore[misc]  # ncempy is untyped
    """ncempy's parser over a buffered file.

    ncempy reads with numpy.fromfile, which accepts short reads in silence, allocates whatever a damaged
    length asks for and is slow for the thousands of tags of a header.
    """

    __slots__ = ("_reads",)

    def fromfile(self, file: BinaryIO, *, dtype: Any, count: int) -> NDArray[Any]:
        kind = np.dtype(dtype)
        size = kind.itemsize * int(count)
        self._reads = getattr(self, "_reads", 0) + 1
        if size > _LONGEST_TAG_BYTES or self._reads > _MOST_READS:
            raise ValueError(f"a tag declares {size} bytes")
        block = file.read(size)
        if len(block) < size:
            raise EOFError("its tags end early")
        return np.frombuffer(block, kind)

    def seek(self, file: BinaryIO, offset: int, whence: int = 0) -> None:
        if int(offset) > os.fstat(file.fileno()).st_size:
            raise EOFError("its data end early")
        file.seek(int(offset), whence)

    def __del__(self) -> None:
        """Leave the stream open: it belongs to the caller."""


@dataclass(frozen=True, slots=True)
class Tags:
    """Tags below `prefix`, or all: `text` and `number` never fail, whatever a damaged file holds."""

    values: dict[str, Any]
    prefix: str = ""

    def below(self, name: str) -> Tags:
        """Tags of a group."""
        return Tags(self.values, f"{self.prefix}.{name}")

    def has(self, name: str) -> bool:
        """Whether there is a tag or a group of this name."""
        path = f"{self.prefix}.{name}"
        return any(key == path or key.startswith(f"{path}.") for key in self.values)

    def text(self, *names: str) -> str | None:
        """First of these tags that holds text, cleaned of control characters."""
        for name in names:
            value = self.values.get(f"{self.prefix}.{name}")
            if isinstance(value, str):
                whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
                if plain := "".join(c if c.isprintable() else " " for c in whole).strip():
                    return plain
        return None

    def number(self, *names: str) -> float | None:
        """First of these tags that holds a finite number."""
        for name in names:
            value = self.values.get(f"{self.prefix}.{name}")
            if isinstance(value, (int, float, np.number)) and math.isfinite(value):
                return float(value)
        return None

    def count(self, name: str) -> int | None:
        """A tag that holds a whole number, exactly (offsets exceed what a float can hold)."""
        value = self.values.get(f"{self.prefix}.{name}")
        return int(value) if isinstance(value, (int, np.integer)) else None

    def groups(self, name: str) -> Iterator[Tags]:
        """The members of a list, in order (DigitalMicrograph numbers them from 1)."""
        number = 1
        while self.has(f"{name}.{number}"):
            yield self.below(f"{name}.{number}")
            number += 1


def parse(stream: BinaryIO) -> Tags:
    """All tags of an open file; afterwards the stream stands behind the last tag.

    Raises whatever ncempy raises on damaged input; the caller guards.
    """
    stream.seek(0)
    return Tags(dict(_Header(stream).allTags))


def micrograph(tags: Tags) -> Tags | None:
    """The image of the file that is no thumbnail: the one that is displayed, else the first."""
    images = list(tags.groups("ImageList"))
    thumbnails = {group.count("ImageIndex") for group in tags.groups("Thumbnails")}
    candidates = [
        (number, image)
        for number, image in enumerate(images)
        if number not in thumbnails and image.has("ImageData.Dimensions.1")
    ]
    shown = tags.count("ImageSourceList.1.ImageRef")
    return next((image for number, image in candidates if number == shown), None) or (
        candidates[0][1] if candidates else None
    )


def spectroscopy(image: Tags) -> str | None:
    """Which spectroscopy the tags say the image comes from; None for a micrograph.

    A HAADF image taken along with a spectrum image carries the tags of that acquisition too, so the group
    SI alone decides nothing (tag names: RosettaSciIO, and GMS 2 and 3 files).
    """
    tags = image.below("ImageTags")
    form, signal = tags.text("Meta Data.Format") or "", tags.text("Meta Data.Signal") or ""
    if form.lower().startswith("spectrum"):
        return f"{signal} {form.lower()}".strip()
    if signal.upper() in _SPECTROSCOPIES:
        return f"{signal} map"
    labels = [group.text("Label") or "" for group in tags.groups("Meta Data.Experiment keywords")]
    if found := next((label for label in labels if label.upper() in _SPECTROSCOPIES), None):
        return f"{found} map"
    if tags.has("Acquisition.Monarc Spectrometer"):
        return "cathodoluminescence map"
    if tags.has("spim.eels"):
        return "EELS map"
    return None


_SPECTROSCOPIES = {"EELS", "CL", "X-RAY", "EDS", "EDX", "EDXS", "XEDS"}


def acquired_at(tags: Tags, image: Tags) -> datetime | None:
    """When the micrograph was taken: what is stated in UTC first, then local text."""
    for group in _descriptions(image):
        for moment in (
            clock.from_filetime(group.number("DataBar.Acquisition Time (OS)")),
            clock.from_epoch_ms(group.number("Acquisition.Frame.Sequence.Acquisition Start Time (epoch)")),
            clock.from_iso(group.text("Timestamp")),  # Nion Swift
        ):
            if moment is not None:
                return moment
    for group in (*_descriptions(image), tags):
        for date, time in (
            ("DataBar.Acquisition Date", "DataBar.Acquisition Time"),
            ("SI.Acquisition.Date", "SI.Acquisition.Start time"),
        ):
            if moment := clock.from_local_text(group.text(date), group.text(time)):
                return moment
    return None


def metadata(image: Tags) -> Metadata:
    """Voltage, magnification, instrument and exposure as far as the tags have them; 0 stands for unknown."""
    own, source = _descriptions(image)

    def number(*names: str) -> float | None:
        return own.number(*names) or source.number(*names) or None

    voltage_V = number("Microscope Info.Voltage", "ImageScanned.EHT")  # noqa: N806 - the unit's own spelling
    instrument = ("Session Info.Microscope", "Microscope Info.Microscope", "Microscope Info.Name")
    return Metadata(
        voltage_kV=voltage_V / 1e3 if voltage_V else None,
        magnification=number("Microscope Info.Indicated Magnification"),
        instrument=own.text(*instrument) or source.text(*instrument),
        exposure_s=number(
            "DataBar.Exposure Time (s)",
            "Acquisition.Parameters.High Level.Exposure (s)",
            "Acquisition.Parameters.Detector.exposure (s)",
        ),
    )


def _descriptions(image: Tags) -> tuple[Tags, Tags]:
    """Groups that describe the acquisition; the stack builder keeps those of the first frame apart."""
    tags = image.below("ImageTags")
    return tags, tags.below("source.Tags at creation")
