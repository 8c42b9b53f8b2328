"""The name of a revision: the commit of a checkout, where its files are those of the commit."""

import os
import subprocess

import pytest

from reconciler.agent import revision as module
from reconciler.agent.manifests import Manifests
from reconciler.agent.source import load
from tests.cli.calls import BRIDGE, container


def git(folder, *arguments):
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "a", f"GIT_{role}_EMAIL": "a@example.com"}
    done = subprocess.run(
        ["git", "-C", folder, *arguments],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A repository with manifests in a folder, and something else beside it."""
    top = tmp_path / "repository"
    folder = top / "manifests"
    (folder / "sub").mkdir(parents=True)
    (top / "other.txt").write_text("1")
    (folder / "web.yaml").write_text(BRIDGE)
    (folder / "sub" / "web1.yaml").write_text(container("web1"))
    git(tmp_path, "init", "-q", top)
    commit(top)
    return top


def commit(top):
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "change")
    return git(top, "rev-parse", "HEAD")


def revision_of(*paths):
    found = Manifests(tuple(map(str, paths)))
    assert found.check(), found.problems
    return found.revision


def digest_of(*paths):
    return load([str(path) for path in paths]).revision


def test_a_clean_checkout_is_called_by_its_commit(checkout):
    head = git(checkout, "rev-parse", "HEAD")

    assert revision_of(checkout / "manifests") == head
    assert revision_of(checkout) == head
    assert revision_of(checkout / "manifests/sub", checkout / "manifests/web.yaml") == head


def test_a_newer_commit_is_named_when_it_comes_into_force(checkout):
    found = Manifests((str(checkout / "manifests"),))
    found.check()
    (checkout / "manifests/web2.yaml").write_text(container("web2"))
    newer = commit(checkout)

    found.check()

    assert found.revision == newer


def changed(folder):
    (folder / "web.yaml").write_text(BRIDGE + "# by hand\n")


def added(folder):
    (folder / "web2.yaml").write_text(container("web2"))


def removed(folder):
    (folder / "sub/web1.yaml").unlink()


def linked(folder):
    (folder / "sub/web1.yaml").unlink()
    (folder / ".elsewhere").write_text(container("web1"))
    (folder / "sub/web1.yaml").symlink_to("../.elsewhere")


@pytest.mark.parametrize("edit", [changed, added, removed, linked], ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("staged", [False, True], ids=["", "staged"])
def test_a_tree_that_differs_from_its_commit_is_called_dirty(checkout, edit, staged):
    edit(checkout / "manifests")
    if staged:
        git(checkout, "add", "-A")

    assert revision_of(checkout / "manifests") == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_a_link_of_the_commit_that_leads_elsewhere_is_dirty(checkout):
    (checkout / "manifests/sub/link.yaml").symlink_to("../web.yaml")
    head = commit(checkout)
    assert revision_of(checkout / "manifests") == head

    (checkout / "manifests/sub/link.yaml").unlink()
    (checkout / "manifests/sub/link.yaml").symlink_to("web1.yaml")

    assert revision_of(checkout / "manifests") == head + "-dirty"


def test_what_is_changed_beside_the_manifests_does_not_matter(checkout):
    (checkout / "manifests/.hidden.yaml").write_text("1")
    (checkout / "outside.yaml").write_text("1")
    head = commit(checkout)
    (checkout / "other.txt").write_text("2")
    (checkout / "outside.yaml").unlink()
    (checkout / "manifests/README.md").write_text("2")
    (checkout / "manifests/.hidden.yaml").write_text("2")

    assert revision_of(checkout / "manifests") == head


def test_a_worktree_behind_a_link_is_called_by_its_own_commit(checkout, tmp_path):
    first = git(checkout, "rev-parse", "HEAD")
    (checkout / "manifests/web2.yaml").write_text(container("web2"))
    commit(checkout)
    git(checkout, "worktree", "add", "-q", "--detach", tmp_path / "tree", first)
    (tmp_path / "current").symlink_to("tree")

    assert revision_of(tmp_path / "current/manifests") == first


def test_a_checkout_with_sha256_is_called_by_its_commit(tmp_path):
    git(tmp_path, "init", "-q", "--object-format=sha256", tmp_path / "repository")
    (tmp_path / "repository/web.yaml").write_text(BRIDGE)

    head = commit(tmp_path / "repository")

    assert revision_of(tmp_path / "repository") == head
    assert len(head) == 64


def test_files_that_no_commit_knows_are_called_by_their_digest(checkout, tmp_path):
    (checkout / "ignored").mkdir()
    (checkout / "ignored/web.yaml").write_text(BRIDGE)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/web.yaml").write_text(BRIDGE)
    git(tmp_path, "init", "-q", tmp_path / "young")
    (tmp_path / "young/web.yaml").write_text(BRIDGE)

    for folder in (checkout / "ignored", tmp_path / "plain", tmp_path / "young"):
        assert revision_of(folder) == digest_of(folder)


def test_without_git_or_with_one_that_hangs_it_is_the_digest(checkout, tmp_path, monkeypatch):
    folder = checkout / "manifests"
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert revision_of(folder) == digest_of(folder)

    (tmp_path / "git").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    assert revision_of(folder) == digest_of(folder)


def test_the_environment_does_not_lead_git_elsewhere(checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))

    assert len(revision_of(checkout / "manifests")) == 40


def test_nothing_that_a_checkout_configures_is_run(checkout, tmp_path):
    """A stranger's checkout names programs for git to run; even `git status` runs these."""
    trap, sprung = tmp_path / "trap", tmp_path / "sprung"
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\nexec cat\n")
    trap.chmod(0o755)
    for name in ("core.fsmonitor", "filter.trap.clean", "filter.trap.process", "core.pager"):
        git(checkout, "config", name, trap)
    (checkout / ".git/info/attributes").write_text("*.yaml filter=trap\n")
    for hook in ("post-index-change", "post-checkout", "reference-transaction"):
        (checkout / ".git/hooks").mkdir(exist_ok=True)
        (checkout / ".git/hooks" / hook).symlink_to(trap)
    changed(checkout / "manifests")

    assert revision_of(checkout / "manifests").endswith("-dirty")
    assert not sprung.exists()

    git(checkout, "status")
    assert sprung.exists(), "the trap does not work"


def test_a_checkout_of_another_user_is_named_too(checkout):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    head = git(checkout, "rev-parse", "HEAD")
    for path in (checkout, *checkout.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)

    assert revision_of(checkout / "manifests") == head
