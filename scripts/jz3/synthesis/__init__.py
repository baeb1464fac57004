"""Problems that a synthesizer writes, and the filters that decide which of them are kept."""
