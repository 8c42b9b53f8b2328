"""Ports: published and exposed ports, in the grammar of Docker's `-p` and `--expose`.

    [IP:][HOST]:CONTAINER[/tcp|udp|sctp]     8080:80   127.0.0.1:53:53/udp   [::1]:8080:80
    IP::CONTAINER, CONTAINER                 a free host port
    8000-8002:80-82                          ranges of one length, port by port
    8000-8010:80                             the first free one of the range

Source: ParsePortSpec of github.com/docker/go-connections, package nat. As an object a port is
written `{hostIP, hostPort, containerPort, protocol}`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from reconciler.kinds.addresses import IP_PATTERN, Address
from reconciler.manifest import json_type
from reconciler.manifest.model import describe, wrong
from reconciler.manifest.words import did_you_mean, quote

PORT_MAX = 65535
PROTOCOLS = ("tcp", "udp", "sctp")

_OBJECT_FIELDS = ("hostIP", "hostPort", "containerPort", "protocol")
_BRACKETS = re.compile(r"\[([^\]]*)\]:(.*)")
_FORMS = "[IP:][HOST:]CONTAINER[/PROTOCOL], as 8080:80 or 127.0.0.1:53:53/udp"


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """One port of a container that the host answers for.

    Attributes:
        container_port: 1 to 65535.
        protocol: `tcp`, `udp` or `sctp`.
        host_ports: First and last of the host ports that will do, equal for a certain one; None for
            any free one.
        host_ip: None where the bridge's `bindAddress` decides.
    """

    container_port: int
    protocol: str = "tcp"
    host_ports: tuple[int, int] | None = None
    host_ip: Address | None = None

    @property
    def host_port(self) -> int | None:
        """The host port, where it is a certain one."""
        if self.host_ports is None or self.host_ports[0] != self.host_ports[1]:
            return None
        return self.host_ports[0]

    def __str__(self) -> str:
        host = ""
        if self.host_ports:
            first, last = self.host_ports
            host = f"{first}:" if first == last else f"{first}-{last}:"
        if self.host_ip:
            ip = f"[{self.host_ip}]" if self.host_ip.version == 6 else str(self.host_ip)
            host = f"{ip}:{host or ':'}"
        return f"{host}{self.container_port}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class ExposedPort:
    """One port of a container that `publishAll` and links act on."""

    port: int
    protocol: str = "tcp"

    def __str__(self) -> str:
        return f"{self.port}/{self.protocol}"


def parse_publish(value: object) -> tuple[PublishedPort, ...]:
    """The ports that one entry of `publish` stands for.

    Raises:
        PydanticCustomError: It is not of the grammar, or its ranges differ in length.
    """
    if isinstance(value, Mapping):
        return _parse_object(value)
    if not isinstance(value, str):
        raise wrong(f"must be text or a mapping, and is {describe(value)}", f"write {_FORMS}")
    rest, protocol = _split_protocol(value)
    host_ip, host, container = _split(rest, value)
    return tuple(_pair(_ip(host_ip), _range(host) if host else None, _range(container), protocol))


def parse_expose(value: object) -> tuple[ExposedPort, ...]:
    """The ports that one entry of `expose` stands for: `80`, `53/udp`, `8000-8010`."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise wrong(f"must be a port, and is {describe(value)}", "write 80, 53/udp or 8000-8010")
    rest, protocol = _split_protocol(str(value))
    if ":" in rest:
        raise wrong(f"{quote(value)} maps a port", "expose names container ports; use publish")
    first, last = _range(rest)
    return tuple(ExposedPort(port, protocol) for port in range(first, last + 1))


def _parse_object(value: Mapping[str, object]) -> tuple[PublishedPort, ...]:
    for key in value:
        if key not in _OBJECT_FIELDS:
            known = f"known here: {', '.join(_OBJECT_FIELDS)}"
            hint = did_you_mean(str(key), _OBJECT_FIELDS) or known
            raise wrong(f"unknown field {quote(key)}", hint)
    text = {key: _plain(key, item) for key, item in value.items() if item is not None}
    if "containerPort" not in text:
        raise wrong("containerPort is required", "write {hostPort: 8080, containerPort: 80}")
    protocol = _protocol(text.get("protocol", "tcp"))
    host = _range(text["hostPort"]) if "hostPort" in text else None
    return tuple(_pair(_ip(text.get("hostIP", "")), host, _range(text["containerPort"]), protocol))


def _plain(key: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise wrong(f"{key} must be text or a number, and is {describe(value)}")
    return str(value)


def _split_protocol(text: str) -> tuple[str, str]:
    rest, slash, protocol = text.partition("/")
    return rest, _protocol(protocol) if slash else "tcp"


def _protocol(text: str) -> str:
    if text.lower() not in PROTOCOLS:
        hint = did_you_mean(text, PROTOCOLS) or f"write {' or '.join(PROTOCOLS)}"
        raise wrong(f"{quote(text)} is not a protocol", hint)
    return text.lower()


def _split(rest: str, written: str) -> tuple[str, str, str]:
    """Host address, host port and container port; empty where not written."""
    brackets = _BRACKETS.fullmatch(rest)
    ip, ports = (brackets[1], brackets[2]) if brackets else ("", rest)
    parts = ports.split(":")
    if brackets and len(parts) == 2 and ip:
        return ip, parts[0], parts[1]
    if not brackets and len(parts) <= 3:
        *before, container = parts
        host = before[-1] if before else ""
        if len(before) == 1 and "." in host:
            hint = f"write {host}::{container} for a free host port there"
            raise wrong(f"{quote(host)} is not a port", hint)
        return before[0] if len(before) == 2 else "", host, container
    hint = f"write {_FORMS}"
    if not brackets and len(parts) > 3 and _is_address(":".join(parts[:-2])):
        hint = f"write [{':'.join(parts[:-2])}]:{parts[-2]}:{parts[-1]}"
    raise wrong(f"{quote(written)} is not a port mapping", hint)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _ip(text: str) -> Address | None:
    if not text:
        return None
    if "%" in text or not _is_address(text):
        raise wrong(f"{quote(text)} is not a host address", f"write {_FORMS}")
    return ipaddress.ip_address(text)


def _range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    low, high = _port(first, text), _port(last if dash else first, text)
    if high < low:
        raise wrong(f"the range {text} ends before it begins", f"write {high}-{low}")
    return low, high


def _port(text: str, written: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII):
        raise _not_a_port(text or written)
    number = int(text)
    if not 1 <= number <= PORT_MAX:
        raise _not_a_port(text)
    return number


def _not_a_port(text: str) -> PydanticCustomError:
    return wrong(f"{quote(text)} is not a port", f"ports are numbers from 1 to {PORT_MAX}")


def _pair(
    ip: Address | None, host: tuple[int, int] | None, container: tuple[int, int], protocol: str
) -> Iterator[PublishedPort]:
    first, last = container
    if host and first == last:
        yield PublishedPort(first, protocol, host, ip)
        return
    if host and host[1] - host[0] != last - first:
        message = f"the ranges {host[0]}-{host[1]} and {first}-{last} differ in length"
        raise wrong(message, "give both the same number of ports, or one container port")
    for offset in range(last - first + 1):
        at = (host[0] + offset, host[0] + offset) if host else None
        yield PublishedPort(first + offset, protocol, at, ip)


def _as_text(ports: tuple[object, ...]) -> list[str]:
    return [str(port) for port in ports]


_PROTOCOL = "([tT][cC][pP]|[uU][dD][pP]|[sS][cC][tT][pP])"
_RANGE = "[0-9]{1,5}(-[0-9]{1,5})?"
_HOST = rf"([0-9.]*:)?({_RANGE})?:|\[({IP_PATTERN})\]:({_RANGE})?:"


def _port_type(title: str, pattern: str) -> json_type.Fragment:
    written: json_type.Fragment = {"type": ["string", "integer"]}
    return {**json_type.text(title, pattern), **written, "minimum": 1, "maximum": PORT_MAX}


_HOST_IP = json_type.text("address", f"({IP_PATTERN})?")
_PORT = _port_type("port or range", _RANGE)
Publication = Annotated[
    tuple[PublishedPort, ...],
    PlainValidator(parse_publish),
    PlainSerializer(_as_text),
    WithJsonSchema(
        {
            "anyOf": [
                _port_type("port mapping", f"({_HOST})?{_RANGE}(/{_PROTOCOL})?"),
                {
                    "title": "mapping",
                    "type": "object",
                    "properties": {
                        "hostIP": _HOST_IP | {"description": "Host address; the bridge's."},
                        "hostPort": _PORT | {"description": "Host port; a free one."},
                        "containerPort": _PORT | {"description": "The container's port."},
                        "protocol": json_type.text("tcp, udp or sctp", _PROTOCOL)
                        | {"description": "The protocol.", "default": PROTOCOLS[0]},
                    },
                    "required": ["containerPort"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
Publications = Annotated[tuple[Publication, ...], Field(strict=False)]
Exposure = Annotated[
    tuple[ExposedPort, ...],
    PlainValidator(parse_expose),
    PlainSerializer(_as_text),
    WithJsonSchema(_port_type("port", f"{_RANGE}(/{_PROTOCOL})?")),
]
Exposures = Annotated[tuple[Exposure, ...], Field(strict=False)]
