"""On a terminal: colour, unless NO_COLOR says no; nothing of it where output is piped."""

import os
import pty
import subprocess

import pytest

from tests.cli.calls import BROKEN, SITE

ESCAPE = "\x1b["


def on_terminal(host, *arguments, **environment):
    """Run the command line on a terminal of its own, and give what appears there."""
    ours, theirs = pty.openpty()
    given = {k: v for k, v in host.subprocess_environment().items() if k != "NO_COLOR"}
    process = subprocess.Popen(
        host.command(*arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**given, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:
        pass  # how a terminal says that its last user has gone (EIO)
    finally:
        os.close(ours)
    process.wait(timeout=60)
    return seen.decode()


def test_a_diff_has_colour_on_a_terminal(host):
    host.manifests.write("web.yaml", SITE)

    text = on_terminal(host, "diff", host.manifests)

    assert "\x1b[32m+\x1b[0m device/web" in text
    assert "\x1b[1mBridge/web\x1b[0m" in text


@pytest.mark.parametrize("command", ["diff", "apply", "--help"])
def test_no_colour_where_it_is_not_wanted(host, command):
    host.ip("link add web type bridge")  # blocked things are red
    host.manifests.write("web.yaml", SITE)
    arguments = [command] if command == "--help" else [command, host.manifests]

    assert "\x1b[3" not in on_terminal(host, *arguments, NO_COLOR="1")


def test_an_empty_no_color_says_nothing(host):
    host.manifests.write("web.yaml", SITE)

    assert ESCAPE in on_terminal(host, "diff", host.manifests, NO_COLOR="")


def test_no_colour_in_a_pipe(host):
    host.manifests.write("web.yaml", SITE)
    host.ip("link add web type bridge")
    environment = {k: v for k, v in host.subprocess_environment().items() if k != "NO_COLOR"}

    for command in ("diff", "apply"):
        done = subprocess.run(
            host.command(command, host.manifests),
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
        assert ESCAPE not in done.stdout + done.stderr, command


def test_json_has_no_colour_on_a_terminal(host):
    host.manifests.write("web.yaml", SITE)

    assert ESCAPE not in on_terminal(host, "diff", "-o", "json", host.manifests)


def test_control_characters_of_a_manifest_do_not_reach_the_terminal(host):
    host.manifests.write("web.yaml", BROKEN.replace("lots", '"\\e[31mlots"'))

    assert "\x1b[31mlots" not in on_terminal(host, "diff", host.manifests)
