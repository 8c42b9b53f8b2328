"""Names: what a container calls itself, finds by name and is told in its environment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from reconciler.kinds.addresses import IP_PATTERN, Address, parse_address
from reconciler.kinds.fields import HOST_PATTERN, parse_hostname, text_of
from reconciler.manifest import json_type
from reconciler.manifest.model import describe, wrong
from reconciler.manifest.words import quote

HOST_GATEWAY = "host-gateway"  # Docker's word for the host's own address

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_LINK = re.compile(r"(?P<name>[^:/\s]+)(:(?P<alias>[^:\s]+))?")


@dataclass(frozen=True, slots=True)
class ExtraHost:
    """A line of /etc/hosts. The address is None for `host-gateway`."""

    name: str
    address: Address | None

    def __str__(self) -> str:
        return f"{self.name}:{self.address or HOST_GATEWAY}"


@dataclass(frozen=True, slots=True)
class ContainerLink:
    """Another container that is reachable by name and alias (Docker's `--link NAME:ALIAS`)."""

    container: str
    alias: str

    def __str__(self) -> str:
        return f"{self.container}:{self.alias}"


def parse_extra_host(value: object) -> ExtraHost:
    """`NAME:ADDRESS`, as Docker's `--add-host`; the address may be `host-gateway`."""
    text = text_of(value)
    name, colon, address = text.partition(":")
    if not colon:
        raise wrong(f"{quote(text)} has no address", "write NAME:ADDRESS")
    return _extra_host(name, address)


def _extra_host(name: str, address: object) -> ExtraHost:
    if address == HOST_GATEWAY:
        return ExtraHost(parse_hostname(name), None)
    bare = str(address).removeprefix("[").removesuffix("]") if isinstance(address, str) else address
    return ExtraHost(parse_hostname(name), parse_address(bare))


def list_extra_hosts(value: object) -> object:
    """The mapping form `{name: address}` as the list of texts."""
    if not isinstance(value, Mapping):
        return value
    return [str(_extra_host(name, address)) for name, address in value.items()]


def parse_container_link(value: object) -> ContainerLink:
    """`NAME:ALIAS`, or `NAME` whose alias is the name."""
    text = text_of(value)
    match = _LINK.fullmatch(text)
    if not match:
        raise wrong(f"{quote(text)} is not a link", "write NAME or NAME:ALIAS")
    return ContainerLink(match["name"], parse_hostname(match["alias"] or match["name"]))


def parse_command(value: object) -> tuple[str, ...]:
    """A list of words, or text that is split as a shell would."""
    if isinstance(value, list | tuple):
        return tuple(str(text_of(word)) for word in value)
    try:
        return tuple(shlex.split(text_of(value)))
    except ValueError as error:
        raise wrong(f"{quote(value)} cannot be split: {error}", "write a list of words") from error


def parse_env(value: object) -> dict[str, str]:
    """`{NAME: value}` or a list of `NAME=value`."""
    if isinstance(value, Mapping):
        return {_variable(name): _value(name, item) for name, item in value.items()}
    if not isinstance(value, list | tuple):
        hint = "write {NAME: value} or [NAME=value]"
        raise wrong(f"must be a mapping or a list, and is {describe(value)}", hint)
    pairs = [text_of(item).partition("=") for item in value]
    for name, equals, _ in pairs:
        if not equals:
            raise wrong(f"{quote(name)} has no value", f"write {name}=value")
    return {_variable(name): item for name, _, item in pairs}


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise wrong(f"{quote(name)} is not a name of a variable", "use letters, digits and _")
    return name


def _value(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise wrong(f"{name} must be text, and is {describe(value)}")
    return str(value)


def parse_volume(value: object) -> str:
    """`HOST:CONTAINER[:OPTIONS]`, `VOLUME:CONTAINER` or `CONTAINER`, as Docker's `-v`."""
    text = text_of(value)
    parts = text.split(":")
    inside = parts[0] if len(parts) == 1 else parts[1]
    if len(parts) > 3 or not inside.startswith("/") or not parts[0]:
        hint = "write HOST:CONTAINER, as /srv/www:/www:ro"
        raise wrong(f"{quote(text)} is not a volume", hint)
    return str(text)


def parse_restart(value: object) -> str:
    """`no`, `always`, `unless-stopped` or `on-failure[:RETRIES]`."""
    text = text_of(value)
    if not re.fullmatch(r"no|always|unless-stopped|on-failure(:[0-9]{1,6})?", text, re.ASCII):
        hint = "write no, always, unless-stopped, on-failure or on-failure:RETRIES"
        raise wrong(f"{quote(text)} is not a restart policy", hint)
    return str(text)


_TEXT = PlainSerializer(str)
_TO = rf"{HOST_GATEWAY}|({IP_PATTERN})|\[({IP_PATTERN})\]"
_HOST = json_type.text("NAME:ADDRESS", f"({HOST_PATTERN}):({_TO})")
_HOSTS = {
    "anyOf": [
        json_type.listing(_HOST),
        json_type.mapping("mapping of names to addresses", HOST_PATTERN, json_type.text("", _TO)),
    ]
}
_LINK_TEXT = json_type.scalar(
    "NAME or NAME:ALIAS", rf"{HOST_PATTERN}|[^:/\s]+:{HOST_PATTERN}", minimum=0
)
_ENV = {
    "anyOf": [
        json_type.mapping("mapping of names to text", _VARIABLE.pattern, json_type.scalar("text")),
        json_type.listing(json_type.text("NAME=value", rf"{_VARIABLE.pattern}=[\s\S]*")),
    ]
}
_VOLUME = json_type.text("HOST:CONTAINER[:OPTIONS]", "/[^:]*|[^:]+:/[^:]*(:[^:]*)?")
_RESTART = json_type.text("restart policy", "no|always|unless-stopped|on-failure(:[0-9]{1,6})?")

ExtraHosts = Annotated[
    tuple[
        Annotated[ExtraHost, PlainValidator(parse_extra_host), _TEXT, WithJsonSchema(_HOST)],
        ...,
    ],
    Field(strict=False),
    BeforeValidator(list_extra_hosts),
    WithJsonSchema(_HOSTS),
]
ContainerLinks = Annotated[
    tuple[
        Annotated[
            ContainerLink, PlainValidator(parse_container_link), _TEXT, WithJsonSchema(_LINK_TEXT)
        ],
        ...,
    ],
    Field(strict=False),
]
Command = Annotated[
    tuple[str, ...],
    Field(strict=False),
    BeforeValidator(parse_command),
    WithJsonSchema(json_type.one_or_more(json_type.scalar("word"))),
]
Env = Annotated[dict[str, str], PlainValidator(parse_env), WithJsonSchema(_ENV)]
Volumes = Annotated[
    tuple[Annotated[str, BeforeValidator(parse_volume), WithJsonSchema(_VOLUME)], ...],
    Field(strict=False),
]
Restart = Annotated[str, BeforeValidator(parse_restart), WithJsonSchema(_RESTART)]
