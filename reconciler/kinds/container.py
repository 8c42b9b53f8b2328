"""Container: a network namespace with its interfaces, addresses, routes and published ports.

    apiVersion: reconciler/v1
    kind: Container
    metadata: {name: web1}
    spec:
      bridge: web
      addresses: [10.0.0.5]
      publish: [8080:80]

`bridge` is short for one interface `eth0` on that Bridge.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from reconciler.kinds.addresses import AddressRequests, IPAddresses
from reconciler.kinds.fields import (
    Domain,
    Flag,
    Hostname,
    Mac,
    ResourceName,
    Sysctls,
    Word,
    parse_name,
    text_of,
)
from reconciler.kinds.interface import InterfaceSpec, Route
from reconciler.kinds.names import Command, ContainerLinks, Env, ExtraHosts, Restart, Volumes
from reconciler.kinds.ports import ExposedPort, Exposures, Publications, PublishedPort
from reconciler.manifest import json_type
from reconciler.manifest.model import Spec, wrong
from reconciler.manifest.resource import NAME_PATTERN
from reconciler.manifest.words import did_you_mean, listed, quote

NETWORKS = ("bridge", "none", "host")
SHARED = "container:"  # `network: container:NAME`

_NETWORK = json_type.text(
    f"{listed((*NETWORKS, f'{SHARED}NAME'))}", f"{'|'.join(NETWORKS)}|{SHARED}{NAME_PATTERN}"
)
_TARGET = json_type.scalar("name, path or process id", minLength=1)

Runtime = Literal["netns", "path", "pid", "docker", "podman"]


def parse_network_mode(value: object) -> str:
    """`bridge`, `none`, `host` or `container:NAME`."""
    text = text_of(value)
    if text in NETWORKS:
        return str(text)
    if text.startswith(SHARED):
        return SHARED + parse_name(text.removeprefix(SHARED))
    hint = did_you_mean(text, NETWORKS) or "write bridge, none, host or container:NAME"
    raise wrong(f"{quote(text)} is not known", hint)


def parse_target(value: object) -> str:
    """Text that is not empty; what it must be else depends on the runtime."""
    text = text_of(value)
    if not text or not text.isprintable():
        raise wrong(f"{quote(text)} is not a target", "write a name, a path or a process id")
    return str(text)


class Container(Spec):
    """A network namespace with its interfaces, addresses, routes and published ports."""

    runtime: Runtime = Field(
        default="netns",
        description="`netns`: a named namespace that we make (seen by `ip netns`). `path`: "
        "an existing namespace file. `pid`: of a process. `docker`, `podman`: an engine's.",
        examples=["netns", "docker"],
    )
    target: Annotated[str, BeforeValidator(parse_target), WithJsonSchema(_TARGET)] | None = Field(
        default=None,
        description="The namespace, path, pid, or the engine's container name; the resource's name "
        "where not written.",
        examples=["web-1"],
    )
    network: Annotated[
        str,
        BeforeValidator(parse_network_mode),
        WithJsonSchema(_NETWORK),
    ] = Field(
        default="bridge",
        description="`bridge`, `none`, `host`, `container:NAME` (that container's namespace).",
        examples=["none", "container:web1"],
    )
    bridge: ResourceName | None = Field(
        default=None,
        description="Short for one interface `eth0` on that Bridge.",
        examples=["web"],
    )
    interfaces: Annotated[tuple[InterfaceSpec, ...], Field(strict=False)] = Field(
        default=(),
        description="Interfaces, where one is not enough.",
        examples=[[{"bridge": "web"}, {"name": "eth1", "bridge": "db"}]],
    )
    addresses: AddressRequests = Field(
        default=(),
        description="Of the short form; with or without prefix length, `auto` takes a free one. "
        "Automatic where not written.",
        examples=[["10.0.0.5"], ["10.0.0.5", "auto"]],
    )
    mac: Mac | None = Field(
        default=None,
        description="Of the short form; from the address or the name, stable, where not written.",
        examples=["02:42:0a:00:00:05"],
    )
    hostname: Hostname | None = Field(
        default=None,
        description="The host name; the resource's name where not written.",
        examples=["web1"],
    )
    domainname: Domain | None = Field(
        default=None, description="The domain of the host name.", examples=["example.com"]
    )
    dns: IPAddresses = Field(
        default=(),
        description="Name servers; the bridge's where not written.",
        examples=[["9.9.9.9"]],
    )
    dns_search: Annotated[tuple[Domain, ...], Field(strict=False)] = Field(
        default=(),
        description="Search domains; the bridge's where not written, `.` for none.",
        examples=[["example.com"]],
    )
    dns_options: Annotated[tuple[Word, ...], Field(strict=False)] = Field(
        default=(),
        description="Resolver options, resolv.conf(5); the bridge's where not written.",
        examples=[["ndots:2"]],
    )
    extra_hosts: ExtraHosts = Field(
        default=(),
        description="More lines for /etc/hosts: `NAME:ADDRESS`, or `{NAME: ADDRESS}`.",
        examples=[["db:10.0.1.5"], {"db": "10.0.1.5"}],
    )
    expose: Exposures = Field(
        default=(),
        description="Ports that `publishAll` and links act on: `80`, `53/udp`, `8000-8010`.",
        examples=[[80, "53/udp"]],
    )
    publish: Publications = Field(
        default=(),
        description="Ports that the host answers for: `[IP:][HOST]:CONTAINER[/tcp,udp,sctp]`, "
        "`IP::CONTAINER`, `CONTAINER`, ranges, IPv6 in brackets; text or "
        "`{hostIP, hostPort, containerPort, protocol}`.",
        examples=[["8080:80", "127.0.0.1:53:53/udp"], [{"hostPort": 8080, "containerPort": 80}]],
    )
    publish_all: Flag = Field(
        default=False,
        description="A free host port for every exposed port that has none.",
        examples=[True],
    )
    links: ContainerLinks = Field(
        default=(),
        description="`NAME:ALIAS` or `NAME`: name and alias resolve, and the other's exposed ports "
        "are reachable even with `icc: false`.",
        examples=[["db:database"], ["db"]],
    )
    routes: Annotated[tuple[Route, ...], Field(strict=False)] = Field(
        default=(),
        description="More routes than the default route via the bridge.",
        examples=[[{"to": "10.1.0.0/16", "via": "10.0.0.254"}]],
    )
    sysctls: Sysctls = Field(
        default={},
        description="Settings inside the namespace, `net.*` only.",
        examples=[{"net.ipv4.ip_forward": 1}],
    )
    image: Word | None = Field(
        default=None,
        description="With `runtime: docker` or `podman`: the engine makes the container from it; "
        "without, the container is only attached.",
        examples=["nginx:1.27"],
    )
    command: Command = Field(
        default=(),
        description="What the container runs; text is split as a shell would.",
        examples=[["nginx", "-g", "daemon off;"], "sleep 3600"],
    )
    env: Env = Field(
        default={},
        description="Environment variables, `{NAME: value}` or `[NAME=value]`.",
        examples=[{"TIER": "front"}, ["TIER=front"]],
    )
    volumes: Volumes = Field(
        default=(), description="`HOST:CONTAINER[:OPTIONS]`.", examples=[["/srv/www:/www:ro"]]
    )
    restart: Restart | None = Field(
        default=None,
        description="`no`, `always`, `unless-stopped` or `on-failure[:RETRIES]`.",
        examples=["unless-stopped"],
    )
    user: Word | None = Field(
        default=None, description="`USER[:GROUP]`, by name or number.", examples=["1000:1000"]
    )

    @cached_property
    def target_name(self) -> str:
        """What the runtime calls it."""
        return self.target or self.name

    @property
    def shared_with(self) -> str | None:
        """The container whose namespace this one shares (`network: container:NAME`), or None."""
        return self.network.removeprefix(SHARED) if self.network.startswith(SHARED) else None

    @cached_property
    def attachments(self) -> tuple[InterfaceSpec, ...]:
        """The interfaces on bridges, each with its name; the short form gives one `eth0`."""
        if self.network != "bridge":
            return ()
        if self.bridge:
            short = InterfaceSpec.model_construct(
                name="eth0", bridge=self.bridge, addresses=self.addresses, mac=self.mac
            )
            return (short,)
        taken = {interface.name for interface in self.interfaces}
        free = (name for number in range(2**16) if (name := f"eth{number}") not in taken)
        return tuple(
            interface if interface.name else interface.model_copy(update={"name": next(free)})
            for interface in self.interfaces
        )

    @property
    def published_ports(self) -> tuple[PublishedPort, ...]:
        """All of `publish`, port by port."""
        return tuple(port for ports in self.publish for port in ports)

    @property
    def exposed_ports(self) -> tuple[ExposedPort, ...]:
        """All of `expose`, port by port."""
        return tuple(port for ports in self.expose for port in ports)
