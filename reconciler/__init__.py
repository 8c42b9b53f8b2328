"""Docker's bridge network for anything in a network namespace, declared and kept."""

__version__ = "0.1.0"
