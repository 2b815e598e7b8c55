"""The launcher `./kura`, with a uv that only pretends: when it installs, when it does not, what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

UV = """#!/bin/sh
if [ "$1" = --version ]; then echo "uv ${FAKE_UV_VERSION:-0.13.8}"; exit 0; fi
echo "$PWD $*" >> "$FAKE_CALLS"
[ -z "${FAKE_UV_FAILS-}" ] || { echo "$FAKE_UV_FAILS" >&2; exit 2; }
sleep 0.3
mkdir -p "$UV_PROJECT_ENVIRONMENT/bin"
printf '#!/bin/sh\\necho "ran: $*"; exit ${FAKE_STATUS:-0}\\n' > "$UV_PROJECT_ENVIRONMENT/bin/python"
chmod +x "$UV_PROJECT_ENVIRONMENT/bin/python"
"""
TOOLS = (
    *("sh", "dirname", "readlink", "cmp", "date", "sleep", "mkdir", "rm", "cp", "tail", "id", "cat", "flock"),
    *("grep", "env", "chmod"),
)


class Checkout:
    """A checkout with the launcher, a lock file, and a machine with few tools."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.root.mkdir()
        shutil.copy(ROOT / "kura", self.root / "kura")
        (self.root / "uv.lock").write_text("version = 1\n")
        self.calls_file = folder / "calls"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or f"/usr/bin/{tool}")
        (self.bin / "python3").symlink_to(sys.executable)
        for tool in ("rabbitmq-server", "chromium", "chromedriver"):
            (self.bin / tool).symlink_to("/bin/true")
        self.uv = self.bin / "uv"
        self.uv.write_text(UV)
        self.uv.chmod(0o755)

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": str(self.bin), "HOME": str(self.root.parent), "FAKE_CALLS": str(self.calls_file)}

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.root / "kura"), *arguments],
            env=self.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environ)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    @property
    def calls(self) -> Sequence[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_start_installs_what_is_locked_and_hands_over(checkout: Checkout):
    first = checkout.run("report", "two words", "--json")

    assert first.stdout == "ran: -P -m kura.single_pod report two words --json\n"
    assert "installing Kura" in first.stderr
    [call] = checkout.calls
    assert call.startswith(f"{checkout.root} sync --frozen --compile-bytecode --no-dev --inexact")


def test_the_second_start_installs_nothing(checkout: Checkout):
    checkout.run("--help")

    second = checkout.run("--help")

    assert second.stderr == ""
    assert len(checkout.calls) == 1


def test_a_changed_lock_file_is_installed_again(checkout: Checkout):
    checkout.run("--help")
    (checkout.root / "uv.lock").write_text("version = 2\n")

    checkout.run("--help")

    assert len(checkout.calls) == 2


def test_a_checkout_that_was_moved_is_installed_again(checkout: Checkout):
    checkout.run("--help")
    moved = checkout.root.with_name("moved")
    checkout.root.rename(moved)
    checkout.root = moved

    checkout.run("--help")

    assert len(checkout.calls) == 2


def test_tests_install_the_test_tools_too_and_after_them_nothing_is_missing(checkout: Checkout):
    checkout.run("--help")
    tested = checkout.run("test", "-k", "labels")
    checkout.run("--help")

    assert tested.stdout == "ran: -P -m kura.single_pod test -k labels\n"
    assert "--all-groups" in checkout.calls[1]
    assert len(checkout.calls) == 2


def test_two_at_once_install_once(checkout: Checkout):
    both = [checkout.start("--help") for _ in range(2)]
    ends = [process.communicate(timeout=60) for process in both]

    assert [process.returncode for process in both] == [0, 0]
    assert len(checkout.calls) == 1
    assert any("waiting for another installation" in err for _, err in ends)


def test_a_failed_installation_shows_why_and_is_tried_again(checkout: Checkout):
    failed = checkout.run("--help", FAKE_UV_FAILS="error: the lock file is broken")

    assert failed.returncode == 1
    assert "the lock file is broken" in failed.stderr
    assert "ran:" not in failed.stdout
    assert checkout.run("--help").returncode == 0


def test_the_status_of_the_command_is_the_status_of_the_launcher(checkout: Checkout):
    assert checkout.run("demo", FAKE_STATUS="7").returncode == 7


def test_it_works_through_a_link(checkout: Checkout, tmp_path: Path):
    link = tmp_path / "bin" / "kura"
    link.symlink_to(checkout.root / "kura")

    done = subprocess.run([link, "--help"], env=checkout.environ, capture_output=True, text=True, check=False)

    assert done.stdout == "ran: -P -m kura.single_pod --help\n"


def test_a_uv_that_is_too_old_is_not_used(checkout: Checkout):
    shutil.copy(checkout.uv, checkout.root.parent / "recent")
    (checkout.root.parent / ".local/bin").mkdir(parents=True)
    recent = checkout.root.parent / ".local/bin/uv"
    recent.write_text(UV.replace("${FAKE_UV_VERSION:-0.13.8}", "0.14.0"))
    recent.chmod(0o755)

    done = checkout.run("--help", FAKE_UV_VERSION="0.4.30")

    assert done.returncode == 0
    assert "ran:" in done.stdout


BARE_PYTHON = """#!/bin/sh
case "$*" in
    "-m venv "*) [ -e "$FAKE_VENV_WORKS" ] || { echo "ensurepip is not available" >&2; exit 1; }
        mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    "-m pip install "*) echo "pip $*" >> "$FAKE_CALLS"; cp "$FAKE_UV" "${0%/python}/uv" ;;
    "-c import sys"*) exit 0 ;;
esac
"""
APT = """#!/bin/sh
echo "apt-get $*" >> "$FAKE_CALLS"
case "$*" in *python3-venv*) : > "$FAKE_VENV_WORKS" ;; *rabbitmq-server*) : > "$FAKE_BIN/rabbitmq-server" ;; esac
"""


def bare(checkout: Checkout, *, user_id: int) -> dict[str, str]:
    """A Debian machine with python3 and nothing else; `apt-get` and `id` only pretend."""
    uv = checkout.root.parent / "uv-to-be-installed"
    checkout.uv.rename(uv)
    for name, content in (("python3", BARE_PYTHON), ("apt-get", APT), ("id", f"#!/bin/sh\necho {user_id}\n")):
        (checkout.bin / name).unlink(missing_ok=True)
        (checkout.bin / name).write_text(content)
        (checkout.bin / name).chmod(0o755)
    return {
        "FAKE_UV": str(uv),
        "FAKE_VENV_WORKS": str(checkout.root.parent / "venv-works"),
        "FAKE_BIN": str(checkout.bin),
        "KURA_POLICY_FILE": str(checkout.root.parent / "policy-rc.d"),
    }


def test_on_a_bare_debian_root_gets_what_is_missing_by_apt_and_pip(checkout: Checkout):
    done = checkout.run("--help", **bare(checkout, user_id=0))

    assert done.stdout == "ran: -P -m kura.single_pod --help\n", done.stderr
    apt, pip, sync = checkout.calls
    assert apt == "apt-get install -y --no-install-recommends python3-venv"
    assert pip.endswith("uv==0.13.8")
    assert "sync --frozen" in sync


def test_on_a_bare_debian_others_are_told_what_to_install(checkout: Checkout):
    refused = checkout.run("--help", **bare(checkout, user_id=1000))

    assert refused.returncode == 1
    assert "sudo apt-get install python3-venv" in refused.stderr
    assert checkout.calls == []


def test_the_broker_is_installed_for_the_tests_without_starting_its_service(checkout: Checkout):
    environ = bare(checkout, user_id=0)
    (checkout.bin / "rabbitmq-server").unlink()
    if Path("/usr/sbin/rabbitmq-server").exists():
        pytest.skip("this machine has rabbitmq-server")

    done = checkout.run("test", **environ)

    assert done.returncode == 0, done.stderr
    assert "apt-get install -y --no-install-recommends rabbitmq-server" in checkout.calls
    assert not Path(environ["KURA_POLICY_FILE"]).exists()


@pytest.mark.parametrize("missing", ["chromium", "chromedriver"])
def test_a_browser_and_its_driver_are_installed_for_the_tests(checkout: Checkout, missing: str):
    environ = bare(checkout, user_id=0)
    (checkout.bin / missing).unlink()

    done = checkout.run("test", **environ)

    assert done.returncode == 0, done.stderr
    assert "apt-get install -y --no-install-recommends chromium chromium-driver" in checkout.calls


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_checkout_one_may_not_write_says_so(checkout: Checkout):
    checkout.root.chmod(0o500)

    refused = checkout.run("--help")

    assert refused.returncode == 1
    assert "cannot write" in refused.stderr
