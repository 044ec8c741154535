"""Remarks on a micrograph: what the column `notes` may hold, and what it means to a person."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Note(StrEnum):
    """A remark on a micrograph that has a result, or on a duplicate, as in the column `notes`.

    Some name another micrograph: `Note.REPEAT_OF.about(sha256)` is the text `repeat_of=<sha256>`. The mixed
    ones are about a whole sample and in no table, see `ledger.sample_remarks`.
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
    MIXED_METHODS = "mixed_methods"
    MIXED_CALIBRATIONS = "mixed_calibrations"

    def about(self, value: str) -> str:
        """The note with the value that it carries."""
        return f"{self}={value}"

    @property
    def what_to_do(self) -> str:
        """What a person can do about it."""
        return _NOTE_REMEDIES[self]

    @property
    def words(self) -> str:
        """What it says to a person."""
        return _NOTE_WORDS[self]


_NOTE_WORDS = {
    Note.SAME_FIELD_AS: "copy of an exposure that is counted already",
    Note.REPEAT_OF: "another exposure of an area that was seen before",
    Note.BRIGHT_PARTICLES_SUSPECTED: "particles look bright, but dark ones are measured",
    Note.DARK_PARTICLES_SUSPECTED: "particles look dark, but bright ones are measured",
    Note.FEW_PX_PER_PARTICLE: "particles have few pixels: sizes are coarse",
    Note.BLANK_FIELD: "the field looks blank",
    Note.TWO_KINDS: "particles look like two kinds",
    Note.OUT_OF_DOMAIN: "unlike the micrographs that the network was trained on",
    Note.FILE_GONE: "the file is no longer in the watched folder",
    Note.EXCLUSION_LOST: "an excluded particle is no longer found: its exclusion does not apply",
    Note.MIXED_METHODS: "micrographs of this sample were analysed by different methods",
    Note.MIXED_CALIBRATIONS: "pixel sizes of this sample have different sources or corrections",
}


_POLARITY = 'If they are, choose {0} particles in Settings on the page, or set particles = "{0}".'
_NOTE_REMEDIES = {
    Note.SAME_FIELD_AS: "Nothing to do: it does not count twice.",
    Note.REPEAT_OF: "Exclude one of the two if its particles should count once.",
    Note.BRIGHT_PARTICLES_SUSPECTED: _POLARITY.format("bright"),
    Note.DARK_PARTICLES_SUSPECTED: _POLARITY.format("dark"),
    Note.FEW_PX_PER_PARTICLE: "Acquire at a higher magnification, or read sizes as coarse.",
    Note.BLANK_FIELD: "Exclude it if it is no field of the sample.",
    Note.TWO_KINDS: "Look at the histogram; a filter by size or shape shows either kind.",
    Note.OUT_OF_DOMAIN: "Check the outlines; exclude it if they are wrong.",
    Note.FILE_GONE: "Nothing to do: its results stay. Exclude it if the file was deleted for a reason.",
    Note.EXCLUSION_LOST: "Look at the outlines, and exclude the particle again if it is there.",
    Note.MIXED_METHODS: "temwatch rebuild SAMPLE measures all by the present settings; temwatch retry PATH"
    " segments one again.",
    Note.MIXED_CALIBRATIONS: "Correct the size of the whole sample, or undo the correction of a few.",
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
