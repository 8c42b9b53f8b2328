"""Fields: the types of single values in manifests, each with its check and its words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from reconciler.manifest import json_type
from reconciler.manifest.model import describe, wrong
from reconciler.manifest.resource import Name, parse_name
from reconciler.manifest.scalar import Boolean, Float, Integer
from reconciler.manifest.words import quote

DEVICE_NAME_MAX = 15  # bytes: IFNAMSIZ of linux/if.h, less the final NUL
MTU_MIN, MTU_MAX = 68, 65535  # RFC 791; ETH_MAX_MTU of linux/if_ether.h
IPV6_MTU_MIN = 1280  # RFC 8200, 5
DOMAIN_MAX = 253  # RFC 1035, 2.3.4, without the length bytes of the root
HOSTNAME_MAX = 64  # HOST_NAME_MAX of Linux, gethostname(2)

_MAC = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}")
_UNICAST = "(?!00([:-]00){5}$)[0-9a-fA-F][02468aceACE]([:-][0-9a-fA-F]{2}){5}"
_DOMAIN = re.compile(r"[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?")
HOST_PATTERN = rf"{_DOMAIN.pattern}(\.{_DOMAIN.pattern})*"
_SYSCTL = re.compile(r"net(\.[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*)+")


def text_of(value: object) -> str:
    """The text of a value that must be text (any plain scalar is what is written).

    Raises:
        PydanticCustomError: It is a list, a mapping or nothing.
    """
    if not isinstance(value, str):
        raise wrong(f"must be text, and is {describe(value)}")
    return value


def parse_boolean(value: object) -> bool:
    """`true` or `false`, and none of YAML 1.1's other words."""
    if isinstance(value, Boolean):
        return value.value
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        raise wrong(f"{quote(value)} is not a boolean", "write true or false")
    raise wrong(f"must be true or false, and is {describe(value)}")


def whole_number(low: int, high: int, unit: str = "") -> Callable[[object], int]:
    """A parser of whole numbers from `low` to `high`."""
    wanted = f"a whole number from {low} to {high}{unit}"

    def parse(value: object) -> int:
        if isinstance(value, Integer):
            return _in_range(_without_leading_zero(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return _in_range(value)
        if isinstance(value, Float):
            raise wrong(f"{quote(value)} is not {wanted}")
        if not isinstance(value, str):
            raise wrong(f"must be {wanted}, and is {describe(value)}")
        digits = value.replace("_", "").strip()
        hint = f"write {digits}" if re.fullmatch(r"[1-9][0-9]{,9}", digits) else ""
        raise wrong(f"must be {wanted}, and is the text {quote(value)}", hint)

    def _in_range(number: int) -> int:
        if not low <= number <= high:
            raise wrong(f"{number} is not {wanted}")
        return number

    return parse


def _without_leading_zero(value: Integer) -> int:
    # YAML 1.1 read 017 as 15 and YAML 1.2 reads it as 17: whoever wrote it meant one of them.
    if re.match(r"[-+]?0[0-9]", value):
        raise wrong(f"{value} has a leading zero", f"write {value.value}, or 0o17 for octal 17")
    return value.value


def seconds(low: float, high: float) -> Callable[[object], float]:
    """A parser of seconds from `low` to `high`, whole or not."""
    wanted = f"a number of seconds from {low:g} to {high:g}"

    def parse(value: object) -> float:
        number = value.value if isinstance(value, Integer | Float) else value
        if isinstance(number, bool) or not isinstance(number, int | float):
            shown = quote(value) if isinstance(value, str) else describe(value)
            raise wrong(f"must be {wanted}, and is {shown}")
        if not low <= number <= high:
            raise wrong(f"{value} is not {wanted}")
        return float(number)

    return parse


def parse_device_name(value: object) -> str:
    """A name that the kernel takes for a device (dev_valid_name in net/core/dev.c)."""
    name = text_of(value)
    size = len(name.encode())
    if size > DEVICE_NAME_MAX:
        raise wrong(f"{quote(name)} has {size} bytes", f"it can have {DEVICE_NAME_MAX}")
    if name in {"", ".", ".."} or re.search(r"[\s/:]", name) or not name.isprintable():
        rule = "a device name has no /, no : and no blank, and is not . or .."
        raise wrong(f"{quote(name)} is not a device name", rule)
    return str(name)


def parse_mac(value: object) -> str:
    """A unicast MAC address, in lower case with colons."""
    mac = text_of(value).lower()
    if not _MAC.fullmatch(mac):
        raise wrong(f"{quote(mac)} is not a MAC address", "write six pairs as 02:42:0a:00:00:05")
    mac = mac.replace("-", ":")
    if mac == "00:00:00:00:00:00":
        raise wrong("the MAC address is all zeros", "write one as 02:42:0a:00:00:05")
    if int(mac[:2], 16) & 1:
        hint = f"the first byte must be even, as {int(mac[:2], 16) & 0xFE:02x}{mac[2:]}"
        raise wrong(f"{mac} is a group address", hint)
    return mac


def parse_domain(value: object) -> str:
    """A domain name for `search` in resolv.conf; `.` clears the list, as in Docker."""
    name = text_of(value)
    labels = name.removesuffix(".").split(".") if name != "." else []
    right = all(_DOMAIN.fullmatch(label) and len(label) < 64 for label in labels)
    if len(name) > DOMAIN_MAX or not right:
        raise wrong(f"{quote(name)} is not a domain name", "write one as example.com")
    return str(name)


def parse_hostname(value: object) -> str:
    """A host name: labels of letters, digits and -, 64 bytes in all."""
    name = text_of(value)
    if len(name) > HOSTNAME_MAX:
        raise wrong(f"{quote(name)} has {len(name)} characters", f"{HOSTNAME_MAX} at most")
    if not all(_DOMAIN.fullmatch(label) for label in name.split(".")):
        raise wrong(f"{quote(name)} is not a host name", "use letters, digits, - and .")
    return str(name)


def parse_word(value: object) -> str:
    """Text without blanks that is not empty."""
    word = text_of(value)
    if not word or not word.isprintable() or " " in word:
        raise wrong(f"{quote(word)} is not one word", "leave out blanks")
    return str(word)


def parse_sysctls(value: object) -> dict[str, str]:
    """Settings of the network namespace, by their dotted names."""
    if not isinstance(value, dict):
        raise wrong(f"must be a mapping, and is {describe(value)}", "as {net.ipv4.ip_forward: 1}")
    return {_sysctl(key): _setting(key, item) for key, item in value.items()}


def _sysctl(key: str) -> str:
    if not _SYSCTL.fullmatch(key):
        rule = "only net.* belongs to a network namespace, as net.ipv4.ip_forward"
        raise wrong(f"{quote(key)} is not a sysctl of a network namespace", rule)
    return key


def _setting(key: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or isinstance(value, Boolean):
        raise wrong(f"{key} cannot be {describe(value)}", "write a number or text")
    if not value or not value.isprintable():
        raise wrong(f"{key} cannot be {quote(value)}", "write one line of text")
    return str(value)


Flag = Annotated[bool, BeforeValidator(parse_boolean)]
Mtu = Annotated[
    int,
    BeforeValidator(whole_number(MTU_MIN, MTU_MAX)),
    WithJsonSchema(json_type.whole(MTU_MIN, MTU_MAX)),
]
DeviceName = Annotated[
    str,
    BeforeValidator(parse_device_name),
    WithJsonSchema(
        json_type.scalar("device name", r"(?!\.{1,2}$)[^\s/:]+", maxLength=DEVICE_NAME_MAX)
    ),
]
ResourceName = Name
Mac = Annotated[
    str,
    BeforeValidator(parse_mac),
    WithJsonSchema(json_type.text("MAC address", _UNICAST)),
]
Domain = Annotated[
    str,
    BeforeValidator(parse_domain),
    WithJsonSchema(
        json_type.scalar("domain name", rf"\.|{HOST_PATTERN}\.?", maxLength=DOMAIN_MAX, minimum=0)
    ),
]
Hostname = Annotated[
    str,
    BeforeValidator(parse_hostname),
    WithJsonSchema(json_type.scalar("host name", HOST_PATTERN, maxLength=HOSTNAME_MAX, minimum=0)),
]
Word = Annotated[str, BeforeValidator(parse_word), WithJsonSchema(json_type.scalar("word", r"\S+"))]
Sysctls = Annotated[
    dict[str, str],
    BeforeValidator(parse_sysctls),
    WithJsonSchema(
        json_type.mapping(
            "mapping of sysctls to values",
            _SYSCTL.pattern,
            {"type": ["string", "number"], "minLength": 1},
        )
    ),
]

__all__ = [
    "DEVICE_NAME_MAX", "IPV6_MTU_MIN", "DeviceName", "Domain", "Flag", "Hostname", "Mac", "Mtu",
    "ResourceName", "Sysctls", "Word", "parse_name", "seconds", "text_of", "whole_number",
]  # fmt: skip
