"""Names as a host holds them under /etc/netns, read for the tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

NAMES = Path("/etc/netns")
HOSTS_OWN = "nameserver 192.0.2.53\nnameserver 127.0.0.1\nsearch host.example\noptions ndots:2\n"
OF_BRIDGE = "dns: [9.9.9.9], dnsSearch: [bridge.example], dnsOptions: ['ndots:3']"
FALLBACK = ["8.8.8.8", "8.8.4.4"]
FALLBACK6 = ["2001:4860:4860::8888", "2001:4860:4860::8844"]
LOCAL6 = {
    "::1": ["localhost", "ip6-localhost", "ip6-loopback"],
    "fe00::": ["ip6-localnet"],
    "ff00::": ["ip6-mcastprefix"],
    "ff02::1": ["ip6-allnodes"],
    "ff02::2": ["ip6-allrouters"],
}


def set_resolver(text: str, path: str = "/etc/resolv.conf") -> None:
    """Write the host's own file as most programs do: a new one in the place of the old one."""
    fresh = Path(f"{path}.fresh")
    fresh.parent.mkdir(parents=True, exist_ok=True)
    fresh.write_text(text)
    try:
        fresh.rename(path)
    except OSError:  # a container engine has mounted its own there: EBUSY
        subprocess.run(["mount", "--bind", str(fresh), path], check=True)


def resolver(name: str = "c1") -> dict[str, list[str]]:
    """What a container's resolv.conf says: servers, search list, options."""
    found: dict[str, list[str]] = {"nameserver": [], "search": [], "options": []}
    for line in (NAMES / name / "resolv.conf").read_text().splitlines():
        word, *values = line.split()
        if word != "#":
            found[word] += values if not line.startswith("#") else []
    return found


def said(servers: list[str], search: str = "", options: str = "") -> dict[str, list[str]]:
    return {"nameserver": servers, "search": search.split(), "options": options.split()}


def hosts(name: str = "c1") -> dict[str, list[str]]:
    """What a container's hosts file says, without localhost."""
    lines = (NAMES / name / "hosts").read_text().splitlines()
    found: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith("#"):
            address, *names = line.split()
            found.setdefault(address, []).extend(names)
    assert found.pop("127.0.0.1") == ["localhost"]
    return found


def inode(name: str, file: str) -> int:
    return (NAMES / name / file).stat().st_ino


def tree() -> dict[str, str]:
    """All that is under /etc/netns: folders, links and what the files say."""
    found = {}
    for path in sorted(NAMES.rglob("*")):
        kind = f"link to {path.readlink()}" if path.is_symlink() else path.is_dir() and "folder"
        found[str(path.relative_to(NAMES))] = kind or path.read_text()
    return found
