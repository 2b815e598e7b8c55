import subprocess
import sys
from pathlib import Path


def test_the_committed_stubs_are_what_the_protos_generate():
    script = Path(__file__).parents[1] / "generate.py"
    checked = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
