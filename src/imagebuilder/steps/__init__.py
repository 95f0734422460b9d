"""Build steps: one file, one kind of step, each a frozen dataclass of all that its output depends on."""
