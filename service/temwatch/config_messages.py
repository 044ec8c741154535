"""The sections of the configuration by which the service tells others of its work."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from temwatch.config_section import LocalPath, Section


class HookSettings(Section):
    """A command for each sample that has come to rest; it reads the sample's record, JSON, from its input."""

    command: tuple[str, ...] = ()
    """program with its whole path, and its arguments, run without a shell; empty: none"""
    rest_seconds: float = Field(600.0, gt=0)
    """s without a new result and without a pending file, after which a sample has come to rest"""
    timeout_seconds: float = Field(60.0, gt=0)
    """s after which the command is ended, and tried again later"""

    @field_validator("command")
    @classmethod
    def _has_a_whole_path(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value and not Path(value[0]).is_absolute():
            raise ValueError(
                "must begin with the whole path of a program, for example /usr/local/bin/archive"
            )
        if any("\0" in word for word in value):
            raise ValueError("must not hold a NUL character")
        return value


class NotifySettings(Section):
    """Messages to people by Apprise: enough micrographs, failed files, folder or service gone."""

    targets_file: LocalPath | None = None
    """file of mode 0600 with an address of Apprise a line, such as mailtos://...; not set: no messages"""
    enough_percent: float = Field(2.0, gt=0, le=100)
    """%, half the 95 % interval of mean and D50 of the diameter: a sample below it has enough micrographs"""
    outage_minutes: float = Field(5.0, gt=0)
    """min for which the watched folder or the service must be away before it is told"""
    pause_minutes: float = Field(10.0, ge=0)
    """min between two messages; what happens meanwhile is in the next one"""
