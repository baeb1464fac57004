"""Programs that a model wrote, run under limits: many at once, each in a sandbox of its own."""
