"""The only door to a kernel: everything in here does I/O, nothing outside does."""
