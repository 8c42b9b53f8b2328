"""Shell: single commands of a script, every word quoted, in the namespace that they are for."""

from __future__ import annotations

import shlex

from reconciler.core.object import HOST

DELETE = "delete"
"""A function of the script: it runs a command, and what is gone already is no error."""
TRY = "try"
"""A function of the script: it runs a command that may be refused."""
MARKED = "marked"
"""A function of the script: it runs `ip address` with our protocol number, where that is known."""
_END = "END"


def line(*words: object) -> str:
    """Put words together so that the shell takes them apart again as they were (POSIX, 2.2)."""
    return " ".join(shlex.quote(str(word)) for word in words)


def ip(netns: str, *words: object, before: str = "") -> str:
    """Write one use of ip in a namespace, after the function *before* of the script."""
    return _in_namespace("ip", netns, words, before)


def bridge(netns: str, *words: object) -> str:
    """Write one use of bridge in a namespace."""
    return _in_namespace("bridge", netns, words, "")


def tc(netns: str, *words: object, before: str = "") -> str:
    """Write one use of tc in a namespace, after the function *before* of the script."""
    return _in_namespace("tc", netns, words, before)


def sysctl(netns: str, name: str, value: str) -> str:
    """Write how a parameter of a namespace is set."""
    words = ("sysctl", "-qw", f"{name}={value}")
    if netns == HOST:
        return line(*words)
    if netns.startswith("/"):
        return line(*_entering(netns), *words)
    return line("ip", "netns", "exec", netns, *words)


def write(path: str, text: str) -> str:
    """Write a file in place, byte for byte."""
    if text.endswith("\n") and _END not in text.splitlines():
        return f"cat > {shlex.quote(path)} {here(text)}"
    return f"{line('printf', '%s', text)} > {shlex.quote(path)}"


def here(text: str) -> str:
    """Give lines to a command as its standard input; none of them may be `END`."""
    return f"<<'{_END}'\n{text}{_END}"


def _in_namespace(program: str, netns: str, words: tuple[object, ...], before: str) -> str:
    first = (before,) if before else ()
    if netns == HOST:
        return line(*first, program, *words)
    if netns.startswith("/"):  # `ip -n` takes names under /run/netns only
        return line(*first, *_entering(netns), program, *words)
    return line(*first, program, "-n", netns, *words)


def _entering(path: str) -> tuple[str, str]:
    return "nsenter", f"--net={path}"
