"""The kernel's languages: bytes and text to values and back, without meaning and without I/O."""
