"""The contracts keep to their style, and what is released is not broken. Needs `npm install` for buf."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROTO = ROOT / "proto"
BASELINE = PROTO / "baseline.binpb"


@pytest.fixture
def buf() -> str:
    installed = ROOT / "node_modules/.bin/buf"
    found = str(installed) if installed.exists() else shutil.which("buf")
    if not found:
        pytest.skip("buf is not installed; run `npm install`")
    return found


def run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr or f"status {ran.returncode}"


def test_the_protos_keep_to_their_style(buf: str):
    assert run(buf, "lint", "proto") == ""
    assert run(buf, "format", "proto", "--diff", "--exit-code") == ""


def test_nothing_that_was_released_is_broken(buf: str):
    assert run(buf, "breaking", "proto", "--against", str(BASELINE)) == ""


def test_a_breaking_change_is_found(buf: str, tmp_path: Path):
    changed = tmp_path / "proto"
    shutil.copytree(PROTO, changed)
    tasks = changed / "kura/tasks/v1/tasks.proto"
    tasks.write_text(tasks.read_text().replace("int64 upload_id = 1;", "string upload_id = 1;"))
    assert "upload_id" in run(buf, "breaking", str(changed), "--against", str(BASELINE))
