"""Weights files: safetensors whose header names the network they are for. No torch here."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from temwatch.analysis.segmentation.masking_parameters import PARAMETERS
from temwatch.config import SegmentationSettings
from temwatch.errors import WeightsError

FORMAT = "temwatch-1"
DEFAULT_NAME = "deeplab.safetensors"
EDGES_NAME = "edges.safetensors"

_PACKAGE = Path(__file__).resolve().parents[2]

PLAIN = "deeplabv3plus-resnet18"
FINE = "deeplabv3plus-resnet18-fine"
ANTEMA = "antema-deeplabv3plus-resnet18"

_CLASSES = (("mask",), ("mask", "contacts"))
ARCHITECTURES = {PLAIN: _CLASSES, FINE: _CLASSES, ANTEMA: (("mask",),)}
"""The classes that each network can have: the one published, the one with a decoder that goes on to the
input's own resolution, and the one that ANTEMA's weights are for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The header of a weights file: everything that has to fit for the weights to mean anything.

    `enlarge` and `max_side_px` are the scale policy: a micrograph is first reduced until its longer side has
    at most `max_side_px` (None: never), then enlarged by the whole number `enlarge`; where the
    typical particle then measures `half_size_from_px` or more (None: never), half the size is looked at as
    well. A pixel is a contact where its output exceeds `contacts_threshold`: a loss that weighs contacts more
    makes it say too many. `training` names the training by its digest, `started_from` is the sha256 of the
    weights that it began with.
    """

    architecture: str = PLAIN
    classes: tuple[str, ...]
    preprocessing: str
    enlarge: int = 1
    max_side_px: int | None = None
    half_size_from_px: float | None = None
    contacts_threshold: float = PARAMETERS.threshold
    temwatch_version: str
    training: str = ""
    started_from: str = ""

    def header(self) -> dict[str, str]:
        """As safetensors keeps it: text to text."""
        values = asdict(self) | {"classes": ",".join(self.classes)}
        texts = {key: "" if value is None else str(value) for key, value in values.items()}
        return {"format": FORMAT} | texts


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WeightsFile:
    """A weights file, read once: the digest is that of exactly these bytes."""

    path: Path
    sha256: str
    description: Description
    content: bytes


def default_weights(package: Path = _PACKAGE) -> Path | None:
    """The weights that come with temwatch, from any working directory; None where there are none."""
    return _model(DEFAULT_NAME, package)


def find_edges(package: Path = _PACKAGE) -> Path:
    """The weights of the edge network that come with temwatch.

    Raises
    ------
    WeightsError
        This temwatch comes without them.
    """
    path = _model(EDGES_NAME, package)
    if path is None:
        raise WeightsError(
            f"{EDGES_NAME} is missing from the folder models of this installation; install it again"
        )
    return path


def _model(name: str, package: Path) -> Path | None:
    installed = package / "models" / name
    checkout = package.parents[1] / "models" / name  # service/temwatch in the source tree
    return next((path for path in (installed, checkout) if path.is_file()), None)


def find_weights(settings: SegmentationSettings) -> Path:
    """The weights that the settings name, else those that come with temwatch.

    Raises
    ------
    WeightsError
        This temwatch comes without any.
    """
    path = settings.weights or default_weights()
    if path is None:
        raise WeightsError("this temwatch comes without weights: name a file, or use the method threshold")
    return path


def parameters(settings: SegmentationSettings, file: WeightsFile) -> tuple[tuple[str, str | float], ...]:
    """What decides mask and outlines beside the weights; `edges` is the digest of the edge network."""
    edges: tuple[tuple[str, str | float], ...] = ()
    if file.description.architecture != ANTEMA:
        edges = (("edges", hashlib.sha256(find_edges().read_bytes()).hexdigest()),)
    return (
        ("particles", settings.particles),
        ("threshold", PARAMETERS.threshold),
        ("sure", PARAMETERS.sure),
        ("hole_level", PARAMETERS.hole_level),
        *edges,
    )


def read(path: Path) -> WeightsFile:
    """Read a weights file and check it against the digest in `<file>.sha256`, where there is one.

    Raises
    ------
    WeightsError
        The file cannot be read, is damaged, is no weights file of temwatch or differs from its digest.
    """
    content, sha256 = read_checked(path)
    return WeightsFile(path=path, sha256=sha256, description=_description(path, content), content=content)


def read_checked(path: Path) -> tuple[bytes, str]:
    """Content of a file and its sha256, which is the one in `<file>.sha256` where there is one.

    Raises
    ------
    WeightsError
        The file cannot be read, or differs from its digest.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: the weights cannot be read: {error.strerror}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    expected = _expected_sha256(path)
    if expected not in (None, sha256):
        raise WeightsError(
            f"{path}: damaged or replaced: its sha256 is {sha256}, {path.name}.sha256 has {expected}"
        )
    return content, sha256


def write(path: Path, content: bytes) -> None:
    """Write a weights file completely or not at all, and its sha256 beside it."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
    digest = hashlib.sha256(content).hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n", encoding="ascii")


def with_header(content: bytes, description: Description) -> bytes:
    """The same tensors under a description; the library would write its entries in a random order."""
    length = int.from_bytes(content[:8], "little")
    tensors = json.loads(content[8 : 8 + length])
    header = json.dumps({"__metadata__": description.header()} | tensors).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def _expected_sha256(path: Path) -> str | None:
    sidecar = path.with_name(path.name + ".sha256")
    try:
        words = sidecar.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        words = []
    if not words or len(words[0]) != 64:
        raise WeightsError(f"{sidecar}: holds no sha256")
    return words[0].lower()


def _description(path: Path, content: bytes) -> Description:
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        if len(content) < 8 + length or header.get("format") != FORMAT:
            raise ValueError
        return Description(
            architecture=header["architecture"],
            classes=tuple(header["classes"].split(",")),
            preprocessing=header["preprocessing"],
            enlarge=int(header["enlarge"]),
            max_side_px=int(header["max_side_px"]) if header["max_side_px"] else None,
            half_size_from_px=float(header["half_size_from_px"]) if header.get("half_size_from_px") else None,
            contacts_threshold=float(header.get("contacts_threshold", PARAMETERS.threshold)),
            temwatch_version=header["temwatch_version"],
            training=header["training"],
            started_from=header.get("started_from", ""),
        )
    except (ValueError, KeyError, AttributeError, RecursionError):
        raise WeightsError(
            f"{path}: damaged, or not a weights file of temwatch ({FORMAT} safetensors)"
        ) from None
