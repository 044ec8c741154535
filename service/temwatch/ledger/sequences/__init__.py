"""Sequences in the ledger: numbering of frames, progress of tracking, and what tracking found."""
