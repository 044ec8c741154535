"""What the tags of a DigitalMicrograph file say: which image is the micrograph, how and when it was taken."""

from __future__ import annotations

from datetime import datetime

from temwatch.domain import Metadata
from temwatch.formats import clock
from temwatch.formats.dm_tags import Tags

_SPECTROSCOPIES = {"EELS", "CL", "X-RAY", "EDS", "EDX", "EDXS", "XEDS"}


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


def is_diffraction(image: Tags) -> bool:
    """Whether the tags say that the microscope was in diffraction mode, or that this is a pattern."""
    tags = image.below("ImageTags")
    said = (
        tags.text("Microscope Info.Operation Mode"),  # Imaging Mode says DIFFRACTION of every STEM image
        tags.text("Meta Data.Format"),
        tags.text("Meta Data.Signal"),
    )
    return any("diffraction" in (text or "").lower() for text in said)


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
