"""A teacher model writes problems: asking it, the journal of its answers, a server for it."""
