"""How files come in: found, complete or not, assigned to a sample or sequence, and copied to the spool."""
