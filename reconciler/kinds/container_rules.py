"""Container rules: what does not go together within the spec of one Container."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from reconciler.kinds.container import Container
from reconciler.kinds.interface import InterfaceSpec, Route
from reconciler.manifest.model import Finding
from reconciler.manifest.words import Location, quote

ENGINES = ("docker", "podman")
NAME_MAX = 255  # bytes of a file name, limits.h: named namespaces are files

# Python name, and why the network mode refuses the field. Docker refuses these of container:NAME
# with "conflicting options" (runconfig, validateNetMode); the others have nothing to act on.
_INTERFACE_FIELDS = ("interfaces", "bridge", "addresses", "mac")
_SHARED_REFUSES = (
    *_INTERFACE_FIELDS, "hostname", "domainname", "dns", "dns_search", "dns_options", "extra_hosts",
    "expose", "publish", "publish_all", "links", "routes", "sysctls",
)  # fmt: skip
_HOST_REFUSES = (*_INTERFACE_FIELDS, "publish", "publish_all", "links", "routes", "sysctls")
_NONE_REFUSES = (*_INTERFACE_FIELDS, "publish", "publish_all", "links")
_ENGINE_FIELDS = ("image", "command", "env", "volumes", "restart", "user")


def check_container_spec(spec: Container) -> Iterator[Finding]:
    """Every rule that needs no other resource."""
    yield from _check_network(spec)
    yield from _check_short_form(spec)
    yield from _check_engine(spec)
    yield from _check_target(spec)
    yield from _check_gateways(spec)
    for number, interface in enumerate(spec.interfaces):
        yield from check_automatic(interface.addresses, ("interfaces", number))
    yield from check_automatic(spec.addresses, ())
    yield from _check_routes(spec)


def alias_of(field: str) -> str:
    """A field's name in manifests."""
    return str(Container.model_fields[field].alias)


def _check_network(spec: Container) -> Iterator[Finding]:
    for field, reason in _refused(spec):
        if spec.is_written(field):
            message = f"does not go with network: {spec.network}"
            yield Finding((alias_of(field),), message, reason)


def _refused(spec: Container) -> Iterator[tuple[str, str]]:
    if spec.shared_with:
        reason = f"the namespace is Container/{spec.shared_with}'s; write it there"
        yield from ((field, reason) for field in _SHARED_REFUSES)
    elif spec.network == "host":
        reason = "the namespace is the host's; leave it out"
        yield from ((field, reason) for field in _HOST_REFUSES)
    elif spec.network == "none":
        reason = "there is no interface on a bridge; leave it out, or leave network out"
        yield from ((field, reason) for field in _NONE_REFUSES)


def _check_short_form(spec: Container) -> Iterator[Finding]:
    if spec.network != "bridge":
        return
    if not spec.bridge and not spec.interfaces:
        hint = "write bridge: NAME, or network: none where Links are all that it has"
        yield Finding(("bridge",), "is required with network: bridge", hint)
    if spec.interfaces:
        for field in ("bridge", "addresses", "mac"):
            if spec.is_written(field):
                hint = "write it in the list of interfaces"
                yield Finding((alias_of(field),), "does not go with interfaces", hint)


def _check_engine(spec: Container) -> Iterator[Finding]:
    for field in _ENGINE_FIELDS:
        if not spec.is_written(field):
            continue
        if spec.runtime not in ENGINES:
            hint = "it goes with runtime: docker or podman"
            yield Finding((alias_of(field),), f"does not go with runtime: {spec.runtime}", hint)
        elif field != "image" and not spec.image:
            hint = "without image the container is somebody else's and is only attached"
            yield Finding((alias_of(field),), "needs image", hint)


def _check_target(spec: Container) -> Iterator[Finding]:
    target = spec.target
    if spec.runtime == "path" and not (target or "").startswith("/"):
        hint = "write target: /var/run/netns/NAME"
        yield Finding(("target",), "must be an absolute path with runtime: path", hint)
    elif spec.runtime == "pid" and not re.fullmatch(r"[1-9][0-9]{0,9}", target or "", re.ASCII):
        yield Finding(("target",), "must be a process id with runtime: pid", "write target: 1234")
    elif target is None:
        return
    elif spec.runtime == "netns" and not _is_file_name(target):
        hint = f"write a name without /, {NAME_MAX} bytes at most; a path goes with runtime: path"
        yield Finding(("target",), f"{quote(target)} is not a name of a namespace", hint)
    elif spec.runtime in ENGINES and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]+", target):
        hint = "engines want two or more letters, digits, _ . or -"
        yield Finding(("target",), f"{quote(target)} is not a name of a container", hint)


def _is_file_name(text: str) -> bool:
    return "/" not in text and text not in {".", ".."} and len(text.encode()) <= NAME_MAX


def _check_gateways(spec: Container) -> Iterator[Finding]:
    first, *more = [n for n, interface in enumerate(spec.interfaces) if interface.gateway] or [0]
    for number in more:
        message = f"interface {first} has the default route already"
        yield Finding(("interfaces", number, "gateway"), message, "one interface has it")


def check_automatic(addresses: tuple[object, ...], location: Location) -> Iterator[Finding]:
    """`auto` and every address once; `auto` means each family that has no address in the list."""
    counted = Counter(str(request).partition("/")[0] for request in addresses)
    seen: set[str] = set()
    for number, request in enumerate(addresses):
        text = str(request).partition("/")[0]
        if counted[text] > 1 and text in seen:
            hint = "one auto stands for every family" if text == "auto" else "write it once"
            yield Finding((*location, "addresses", number), f"{text} is there twice", hint)
        seen.add(text)


def _check_routes(spec: Container) -> Iterator[Finding]:
    for number, route in enumerate(spec.routes):
        yield from check_route(route, ("routes", number))
        if route.via is None:
            hint = "a Container's routes need a next hop"
            yield Finding(("routes", number, "via"), "is required", hint)


def check_route(route: Route, location: Location) -> Iterator[Finding]:
    """A next hop of the destination's family that is not the destination."""
    if route.via and route.to and route.via.version != route.to.version:
        message = f"{route.via} is IPv{route.via.version} and {route.to} is IPv{route.to.version}"
        yield Finding((*location, "via"), message, "use a next hop of the same family")


def interface_location(spec: Container, number: int) -> Location:
    """Where the attachment of this number is written."""
    return () if spec.bridge else ("interfaces", number)


def interface_field(spec: Container, number: int, *field: str | int) -> Location:
    """Where a field of the attachment of this number is written."""
    return (*interface_location(spec, number), *field)


def label(interface: InterfaceSpec) -> str:
    """An interface as messages call it."""
    return f"interface {interface.name}"
