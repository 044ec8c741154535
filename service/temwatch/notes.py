"""Remarks on a micrograph: what the column `notes` may hold, and what it means to a person."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Note(StrEnum):
    """A remark on a micrograph that has a result, or on a duplicate, as in the column `notes`.

    Some name another micrograph: `Note.REPEAT_OF.about(sha256)` is the text `repeat_of=<sha256>`.
    """

    SAME_FIELD_AS = "same_field_as"
    REPEAT_OF = "repeat_of"
    BRIGHT_PARTICLES_SUSPECTED = "bright_particles_suspected"
    DARK_PARTICLES_SUSPECTED = "dark_particles_suspected"
    FEW_PX_PER_PARTICLE = "few_px_per_particle"
    BLANK_FIELD = "blank_field"
    TWO_KINDS = "two_kinds"
    OUT_OF_DOMAIN = "out_of_domain"
    FILE_GONE = "file_gone"
    EXCLUSION_LOST = "exclusion_lost"

    def about(self, value: str) -> str:
        """The note with the value that it carries."""
        return f"{self}={value}"

    @property
    def words(self) -> str:
        """What it says to a person."""
        return _NOTE_WORDS[self]


_NOTE_WORDS = {
    Note.SAME_FIELD_AS: "copy of an exposure that is counted already",
    Note.REPEAT_OF: "another exposure of an area that was seen before",
    Note.BRIGHT_PARTICLES_SUSPECTED: 'particles look bright: set particles = "bright" if they are',
    Note.DARK_PARTICLES_SUSPECTED: 'particles look dark: set particles = "dark" if they are',
    Note.FEW_PX_PER_PARTICLE: "particles have few pixels: sizes are coarse",
    Note.BLANK_FIELD: "the field looks blank",
    Note.TWO_KINDS: "particles look like two kinds",
    Note.OUT_OF_DOMAIN: "unlike the micrographs that the network was trained on: check the outlines",
    Note.FILE_GONE: "the file is no longer in the watched folder",
    Note.EXCLUSION_LOST: "an excluded particle is no longer found: its exclusion does not apply",
}


def kind_of(note: str) -> Note:
    """A note without the value that it carries."""
    return Note(note.partition("=")[0])


def join_notes(notes: Iterable[str]) -> str:
    """Text of the column `notes`: each once, in the order of `Note`."""
    order = list(Note)
    return ";".join(sorted(set(notes), key=lambda note: (order.index(kind_of(note)), note)))


def split_notes(text: str) -> tuple[str, ...]:
    """The notes in the text of a column."""
    return tuple(text.split(";")) if text else ()


def note_in_words(note: str) -> str:
    """One note as a person reads it."""
    return kind_of(note).words
