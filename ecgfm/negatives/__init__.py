"""Which false report a recording is paired with (N3S). What was measured, and what is the default: README.md."""
