"""Remarks on a micrograph: one order, one text, and words for every kind."""

import pytest

from temwatch.notes import Note, join_notes, note_in_words, split_notes


@pytest.mark.parametrize("note", Note)
def test_every_note_has_words_of_its_own(note):
    """For the page and for `temwatch status`."""
    assert note.words
    assert note.what_to_do.endswith(".")
    assert 1 == [one.words for one in Note].count(note.words)


def test_the_text_of_a_column_is_the_same_whatever_order_the_stages_had():
    """Each note once, and it can be taken apart again."""
    blank, repeat = Note.BLANK_FIELD, Note.REPEAT_OF.about("ab" * 32)
    assert join_notes([blank, repeat, blank]) == join_notes([repeat, blank])
    assert (repeat, blank) == split_notes(join_notes([blank, repeat]))
    assert () == split_notes(join_notes([]))
    assert Note.REPEAT_OF.words == note_in_words(repeat)
