"""``reconciler show``: what there is, as a tree, as JSON or as a graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import rich_click as click

from reconciler.cli import exit_codes, options
from reconciler.cli.output import print_json, report_errors
from reconciler.host.linux import LinuxHost
from reconciler.objects.topology import Interface, Topology, draw


@click.command("show")
@options.output("text", "json", "mermaid", "dot")
@options.places
def command(output: str) -> int:
    """Show bridges with their ports, containers with their addresses and routes, and links.

    What brctl show and ip -br addr print, in all namespaces at once. Changes nothing.
    """
    with report_errors(output, lambda errors: {"version": 1, "errors": list(errors)}):
        host = LinuxHost()
        try:
            topology = draw(host.observe())
        finally:
            host.close()
    match output:
        case "json":
            print_json({"version": 1, **asdict(topology)})
        case "mermaid":
            click.echo("\n".join(render_mermaid(topology)))
        case "dot":
            click.echo("\n".join(render_dot(topology)))
        case _:
            click.echo("\n".join(render_tree(topology)))
    return exit_codes.OK


def render_tree(topology: Topology) -> Iterator[str]:
    """Yield the lines of the tree: bridges, containers, links."""
    if not (topology.bridges or topology.spaces):
        yield "Nothing here is ours."
        return
    for bridge in topology.bridges:
        facts = [*bridge.addresses, f"mtu {bridge.mtu}", "up" if bridge.up else "DOWN"]
        yield "  ".join([*_title(bridge.owner or "Not ours", bridge.name), *facts])
        ports = ((f"{end.netns}:{end.name}", "  ".join(end.addresses)) for end in bridge.ports)
        yield from _branches(list(ports))
    for space in topology.spaces:
        yield "  ".join(_title(space.owner or "Not ours", space.name))
        notes = [*space.routes, *(f"port {port}" for port in space.ports)]
        yield from _branches([_interface(end) for end in space.interfaces], notes)
    for a, b in topology.cables:
        yield a.owner
        yield from _branches([_end(a), _end(b)])


def _title(owner: str, name: str) -> list[str]:
    """The resource, and what it is called in the kernel where that is another word."""
    return [owner] if owner.partition("/")[2] == name else [owner, name]


def _interface(end: Interface) -> list[str]:
    to = f"on {end.bridge}" if end.bridge else f"to {_place(end)}"
    return [end.name, "  ".join(end.addresses), end.mac or "", to if end.up else f"{to}  DOWN"]


def _place(end: Interface) -> str:
    if end.peer is None:
        return "?"
    netns, name = end.peer
    return f"{netns or 'host'}:{name}"


def _end(end: Interface) -> list[str]:
    state = "" if end.up else "DOWN"
    return [f"{end.netns or 'host'}:{end.name}", "  ".join(end.addresses), state]


def _branches(rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> Iterator[str]:
    """Yield a line for each row, in columns, and for each note, as branches of a tree."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    leaves = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    leaves += notes
    for number, leaf in enumerate(leaves, 1):
        yield f"{'└──' if number == len(leaves) else '├──'} {leaf}"


def _graph(topology: Topology) -> tuple[dict[str, tuple[str, str]], list[tuple[str, str, str]]]:
    """Nodes, by id with shape and label, and edges with their label."""
    nodes: dict[str, tuple[str, str]] = {}
    edges = []
    for bridge in topology.bridges:
        nodes[f"b_{bridge.name}"] = ("bridge", " ".join([bridge.name, *bridge.addresses]))
        for end in bridge.ports:
            label = " ".join([end.name, *end.addresses])
            edges.append((f"b_{bridge.name}", f"n_{end.netns}", label))
    for space in topology.spaces:
        nodes[f"n_{space.name}"] = ("space", space.name)
    for a, b in topology.cables:
        for end in (a, b):
            if not end.netns:
                nodes["n_"] = ("space", "host")
        edges.append((f"n_{a.netns}", f"n_{b.netns}", f"{a.name} ↔ {b.name}"))
    return nodes, edges


def render_mermaid(topology: Topology) -> Iterator[str]:
    """Yield the lines of a Mermaid flow chart."""
    nodes, edges = _graph(topology)
    ids = {node: f"n{number}" for number, node in enumerate(nodes)}
    yield "graph LR"
    for node, (shape, label) in nodes.items():
        opening, closing = ("{{", "}}") if shape == "bridge" else ("[", "]")
        yield f'  {ids[node]}{opening}"{label}"{closing}'
    for a, b, label in edges:
        yield f'  {ids[a]} ---|"{label}"| {ids[b]}'


def render_dot(topology: Topology) -> Iterator[str]:
    """Yield the lines of a Graphviz graph."""
    nodes, edges = _graph(topology)
    yield "graph reconciler {"
    yield "  rankdir=LR;"
    for node, (shape, label) in nodes.items():
        form = "hexagon" if shape == "bridge" else "box"
        yield f'  "{node}" [shape={form}, label="{label}"];'
    for a, b, label in edges:
        yield f'  "{a}" -- "{b}" [label="{label}"];'
    yield "}"
