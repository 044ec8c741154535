"""Which micrographs are copies of one exposure, and which are exposures of one area."""
