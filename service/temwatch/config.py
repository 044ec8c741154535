"""The validated configuration: one frozen model a section, every key with its default, unit and meaning.

config.example.toml is generated from these models and a test holds the two together.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from temwatch.choices import (
    PLAUSIBLE_PIXEL_SIZE_NM,
    CpuEngine,
    Device,
    SegmentationMethod,
    SeparationMethod,
    TableFormat,
)
from temwatch.config_messages import HookSettings, NotifySettings
from temwatch.config_section import LocalPath, Section
from temwatch.errors import ConfigError

__all__ = ["Config", "Device", "SegmentationMethod", "SeparationMethod", "TableFormat", "example", "load"]


class WatchSettings(Section):
    """Where micrographs arrive, and when a file counts as complete."""

    folder: LocalPath
    """acquisition folder; all its subfolders are watched, too"""
    patterns: tuple[str, ...] = Field(("*.dm3", "*.dm4", "*.tif", "*.tiff"), min_length=1)
    """names of files to analyse, in upper or lower case; "*.emd", "*.mrc", "*.ser" are read, too"""
    exclude: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """patterns of files to analyse and exclude: "*_bad*" for names, "rejected/" for folders"""
    settle_seconds: float = Field(2.0, ge=0)
    """s for which size and time of a file must stay unchanged before it is read"""
    scan_interval_seconds: float = Field(10.0, gt=0)
    """s between two scans of the folder; a scan finds what file system events missed"""
    spool_limit_bytes: int = Field(4 * 1024**3, ge=0)
    """bytes; a larger file is read where it is, not copied to the spool first"""
    rosettasciio: LocalPath | None = None
    """Python program that has RosettaSciIO, for files that temwatch does not read itself; not set: none"""


class SampleSettings(Section):
    """How a micrograph is assigned to a sample."""

    pattern: str = ""
    """regular expression with a group (?P<sample>...); not set: first folder, or name without counter"""
    pixel_size_nm: float | None = Field(
        None, ge=PLAUSIBLE_PIXEL_SIZE_NM[0], le=PLAUSIBLE_PIXEL_SIZE_NM[1], examples=[0.05]
    )
    """nm per pixel of files that state none; not set: such files are refused"""

    count_copies: bool = False
    """true or false; true counts copies of one exposure (exports) as micrographs of their own"""

    @field_validator("pattern")
    @classmethod
    def _has_a_group(cls, value: str) -> str:
        try:
            groups = re.compile(value).groupindex
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        if value and "sample" not in groups:
            raise ValueError("needs a group named sample, for example (?P<sample>[^/]+)/")
        return value


class TrackingSettings(Section):
    """How particles are tracked from frame to frame."""

    memory_frames: int = Field(3, ge=0, le=1000)
    """frames; a particle that is missing for at most this many keeps its track"""
    largest_step_spacings: float = Field(0.5, gt=0, le=2)
    """distances between neighbours; the largest step of a particle, without drift"""


class SequenceSettings(TrackingSettings):
    """Which folders are sequences; stacks and Gatan's in situ folders are detected automatically."""

    folders: tuple[str, ...] = ()
    """patterns of folders whose numbered files are the frames of a sequence"""
    frame_interval_s: float | None = Field(None, gt=0, examples=[0.5])
    """s between frames where the files do not state it; not set: unknown"""
    gap_seconds: float = Field(30.0, gt=0)
    """s to wait for a missing frame; it is still added when it comes later"""
    log_gap_seconds: float = Field(5.0, ge=0)
    """s; a frame takes from a holder's log what it says at most so long before or after; 0: no logs"""
    picture_every_frames: int = Field(100, ge=1)
    """pictures are written of every n-th frame"""


STATE_FOLDER = ".temwatch"
"""Folder of ledger, lock, spool and caches in the output folder, unless `state_folder` names another."""


class OutputSettings(Section):
    """Where results are written, and in which formats."""

    folder: LocalPath
    """folder of the results; each sample has a folder in it"""
    formats: tuple[TableFormat, ...] = ("csv",)
    """tables to write: csv (always written at once), xlsx, parquet, record"""
    pictures: bool = True
    """true or false; true writes micrograph, mask and overlay as png"""
    state_folder: LocalPath | None = None
    """local folder of ledger, spool and caches; not set: .temwatch in the output folder"""

    @property
    def state(self) -> Path:
        """Folder of ledger, lock, spool and caches."""
        return self.state_folder or self.folder / STATE_FOLDER


class SegmentationSettings(Section):
    """How particles are distinguished from the background."""

    method: SegmentationMethod = "deeplab"
    """deeplab (trained network) or threshold (no network)"""
    weights: LocalPath | None = None
    """safetensors file; not set: the weights that come with temwatch"""
    device: Device = "auto"
    """auto, cpu or cuda; auto uses the GPU if there is one"""
    cpu_engine: CpuEngine = "auto"
    """auto, openvino or torch: what computes the network on a CPU; auto takes OpenVINO if it is installed"""
    particles: Literal["dark", "bright"] = "dark"
    """particles are dark (bright field) or bright (HAADF)"""
    min_confidence: float | None = Field(None, ge=0, le=1, examples=[0.5])
    """0 to 1; less certain particles are rejected; not set: only pale residue beside others; 0: none"""


class SeparationSettings(Section):
    """How clumps are separated and what counts as a particle (UECS: Park et al., IEEE TPAMI 2013)."""

    method: SeparationMethod = "uecs"
    """auto (evidence decides clump by clump), uecs, watershed, contour or none (clumps are measured whole)"""
    convexity_threshold: float = Field(0.95, gt=0, le=1)
    """convexity, 0 to 1; a region below it is a clump of overlapping particles"""
    min_diameter_nm: float = Field(0.5, ge=0)
    """nm, equivalent diameter; smaller particles and holes are removed"""
    min_diameter_px: float | None = Field(None, ge=0, examples=[8])
    """px, equivalent diameter; the same in pixels: where it is set, min_diameter_nm does not count"""
    min_marker_px: int = Field(30, ge=0)
    """px; smaller markers are dropped if vanishing_markers is drop"""
    vanishing_markers: Literal["keep", "drop"] = "keep"
    """keep or drop; whether a marker that vanishes before it is convex counts"""
    min_convexity: float = Field(0.0, ge=0, le=1)
    """convexity, 0 to 1; clumps below it are rejected whole; 0 keeps all (ANTEMA: 0.5)"""
    max_holes: int | None = Field(None, ge=0, examples=[10])
    """clumps with more holes are rejected whole; not set: all are kept (ANTEMA: 10)"""


class HttpSettings(Section):
    """The live page, the JSON API, health and metrics, all on one port."""

    listen: str = "127.0.0.1:8750"
    """address:port of the page; port 0 takes a free one"""
    allowed_hosts: tuple[str, ...] = ()
    """further host names that a browser may use; * allows any"""
    token_file: LocalPath | None = None
    """file with the token that allows changes; not set: the service makes one in its state folder"""

    @field_validator("listen")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("must be address:port, for example 127.0.0.1:8750")
        return value

    @property
    def host(self) -> str:
        """Address to bind."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port to bind; 0 takes a free one."""
        return int(self.listen.rpartition(":")[2])


class LoggingSettings(Section):
    """What the service writes to standard error; systemd passes it to the journal."""

    format: Literal["json", "console"] = "json"
    """json (one object a line) or console (text)"""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """debug, info, warning or error; less severe messages are left out"""


class EngineSettings(Section):
    """How the work is distributed."""

    workers: int = Field(0, ge=0)
    """number of processes that read, separate and measure; 0: one per core"""
    dask: str = ""
    """address of a Dask scheduler, such as tcp://head:8786; empty: this machine"""


class Config(Section):
    """The whole configuration."""

    watch: WatchSettings
    samples: SampleSettings = SampleSettings()
    sequences: SequenceSettings = SequenceSettings()
    output: OutputSettings
    segmentation: SegmentationSettings = SegmentationSettings()
    separation: SeparationSettings = SeparationSettings()
    http: HttpSettings = HttpSettings()
    logging: LoggingSettings = LoggingSettings()
    engine: EngineSettings = EngineSettings()
    hook: HookSettings = HookSettings()
    notify: NotifySettings = NotifySettings()


def load(path: Path) -> Config:
    """Read and validate a configuration; relative paths are taken from the file's own folder.

    Raises
    ------
    ConfigError
        One line that names the file, the line and the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        detail = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {detail}") from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(path, text, problem) for problem in error.errors())) from None
    return _anchored(config, path.absolute().parent)


def _anchored(config: Config, base: Path) -> Config:
    """Make every relative path absolute from `base`."""

    def anchor(section: Section) -> Section:
        paths = {
            name: base / value
            for name, value in section
            if isinstance(value, Path) and not value.is_absolute()
        }
        return section.model_copy(update=paths)

    return config.model_copy(update={name: anchor(section) for name, section in config})


def _explain(path: Path, text: str, problem: Any) -> str:
    keys = [str(part) for part in problem["loc"] if not isinstance(part, int)]
    place = f"{path}:{_line(text, keys)}" if _line(text, keys) else str(path)
    name = f"[{keys[0]}]" + (f" {keys[1]}" if len(keys) > 1 else "")
    match problem["type"]:
        case "extra_forbidden":
            return f"{place}: {name} is not a key of temwatch"
        case "missing":
            return f"{place}: {name} is missing"
        case _:
            message = problem["msg"].removeprefix("Value error, ")
            return f"{place}: {name}: {message[0].lower()}{message[1:]} (found {problem['input']!r})"


def _line(text: str, keys: list[str]) -> int:
    """Line of a key, of its section where the key is not there, or 0; good enough for a message."""
    section, header = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[+\s*([\w-]+)", line):
            section = match[1]
            header = number if section == keys[0] else header
            continue
        key = keys[1] if len(keys) > 1 and section == keys[0] else keys[0] if not section else None
        if key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return header


def example() -> str:
    """Text of config.example.toml: every key with its default, unit and meaning."""
    paths = {"watch": "/data/acquisition", "output": "/data/temwatch"}
    lines = [
        "# Configuration of temwatch: every key with its default value.",
        '# An empty text "" means: not set. A number without a default is a comment with an example:',
        "# remove the # to set it. An unknown key is an error.",
        "# Relative paths start at the folder of this file.",
    ]
    for section, field in Config.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, Section)
        lines += ["", f"[{section}]  # {(model.__doc__ or '').split(chr(10))[0]}"]
        for key, value in model.model_fields.items():
            lines.append(f"# {value.description}")
            if value.examples:
                lines.append(f"# {key} = {_toml(value.examples[0])}")
            else:
                lines.append(f"{key} = {_toml(paths[section] if value.is_required() else value.default)}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    match value:
        case None:
            return '""'
        case bool():
            return str(value).lower()
        case tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case str():
            return f'"{value}"'
        case _:
            return str(value)
