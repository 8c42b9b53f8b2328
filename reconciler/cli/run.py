"""``reconciler run``: the watch loop."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from pathlib import Path

import rich_click as click

from reconciler.agent.applied import AppliedRecord
from reconciler.agent.board import Board
from reconciler.agent.client import SOCKET
from reconciler.agent.ears import Ears
from reconciler.agent.engine import Engine
from reconciler.agent.http import StatusServer
from reconciler.agent.journal import Journal, journal_path
from reconciler.agent.loop import POLL, Loop
from reconciler.agent.manifests import Manifests
from reconciler.agent.metrics import Metrics
from reconciler.agent.passes import Passes
from reconciler.agent.reporter import Reporter
from reconciler.agent.slices import PERIOD
from reconciler.agent.status import Status
from reconciler.agent.trigger import Settings
from reconciler.agent.wake import Wake
from reconciler.agent.watcher import Watcher
from reconciler.cli import exit_codes, options
from reconciler.cli.logs import FORMATS, open_log
from reconciler.core.drift import Mode
from reconciler.core.guard import Limit
from reconciler.host.linux import LinuxHost
from reconciler.host.lock import host_lock
from reconciler.host.monitor import RECEIVE_BUFFER
from reconciler.host.names_watch import NamesWatch
from reconciler.host.privilege import require_admin


@click.command("run")
@options.paths
@options.set_name
@options.changing
@options.allow_empty
@click.option(
    "--drift",
    "mode",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.HEAL.value,
    show_default=True,
    envvar="RECONCILER_DRIFT",
    help="What to do about what nobody asked for; a resource may say otherwise by its annotation "
    "reconciler/drift.",
)
@click.option(
    "--once",
    is_flag=True,
    envvar="RECONCILER_ONCE",
    help="Make the first pass, then end.",
)
@options.max_deletes
@click.option(
    "--full-look",
    "period",
    type=click.FloatRange(1.0, 86400.0),
    default=PERIOD,
    show_default=True,
    metavar="SECONDS",
    envvar="RECONCILER_FULL_LOOK",
    help="How long a full look takes, in slices: it finds what no event told.",
)
@click.option(
    "--poll",
    type=click.FloatRange(0.5, 3600.0),
    default=POLL,
    show_default=True,
    metavar="SECONDS",
    envvar="RECONCILER_POLL",
    help="How often to look at what the kernel does not tell of: rules of iptables-legacy, sysctls.",
)
@click.option(
    "--receive-buffer",
    type=click.IntRange(1, 1 << 30),
    default=RECEIVE_BUFFER,
    show_default=True,
    metavar="BYTES",
    envvar="RECONCILER_RECEIVE_BUFFER",
    help="How much the kernel may have to tell before events are lost; then all is looked at again.",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="",
    envvar="RECONCILER_LISTEN",
    help="Answer for status and metrics on TCP, too.  [default: only on the unix socket]",
)
@click.option(
    "--socket-group",
    metavar="GROUP",
    default=None,
    envvar="RECONCILER_SOCKET_GROUP",
    help="A group that may ask on the unix socket.  [default: root's own]",
)
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    envvar="RECONCILER_LOG_FORMAT",
    help="How to log: key=value on a terminal, else JSON.",
)
@options.run_dir
@options.state_dir_used
def command(
    paths: tuple[str, ...],
    set_name: str,
    prune: bool | None,
    adopt: bool,
    allow_empty: bool,
    mode: str,
    once: bool,
    max_deletes: Limit | None,
    period: float,
    poll: float,
    receive_buffer: int,
    listen: str,
    socket_group: str | None,
    log_format: str,
    run_dir: Path,
    state_dir: Path,
) -> int:
    """Keep this host equal to its manifests: apply when they change, report and heal drift.

    Ends with 0 on SIGTERM, leaving the network as it is. SIGHUP looks at everything again, SIGUSR1
    writes what it knows to the log. With --once it exits with 4 if the host is not in sync.
    """
    require_admin("reconciler run")
    log = open_log(log_format)
    with ExitStack() as stack:
        stack.enter_context(host_lock(run_dir, "reconciler run"))
        host = LinuxHost(set_name)
        stack.callback(host.close)
        monitor = host.watch(receive_buffer)
        stack.callback(monitor.close)
        wake = Wake(monitor.sockets)
        stack.callback(wake.close)
        stack.enter_context(wake.listening())
        chosen = Mode(mode)
        board = Board(Status(set_name=set_name, mode=chosen))
        metrics, journal = Metrics(board), Journal(journal_path(state_dir, set_name))
        reporter = Reporter(log, board, metrics, journal)
        settings = Settings(set_name, chosen, prune, adopt, max_deletes)
        engine = Engine(host, set_name, prune=prune)
        applied = AppliedRecord(state_dir, set_name)
        passes = Passes(engine, monitor, settings, board, reporter, applied)
        manifests = Manifests(paths, allow_empty)
        names = NamesWatch(wake.kick)
        stack.callback(names.close)
        watcher = Watcher(paths, wake.kick_files)
        ears = Ears(monitor, names, watcher, wake)
        loop = Loop(manifests, passes, ears, board, reporter, period=period, poll=poll)
        if not once:
            server = StatusServer(
                *(board, metrics, journal),
                socket=run_dir / SOCKET,
                group=socket_group,
                listen=listen,
            )
            server.start()
            stack.callback(server.stop)
            watcher.start()
            stack.callback(watcher.stop)
        in_sync = loop.start()
        if once:
            if passes.publisher.manifests.problems or passes.publisher.trouble:
                return exit_codes.ERROR
            return exit_codes.OK if in_sync else exit_codes.FAILED
        gc.collect()
        gc.freeze()  # what is known now lives as long as we do; a collection need not walk it
        loop.run()
    return exit_codes.OK
