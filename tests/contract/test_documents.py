"""Documents are true: the configuration reference is that of the settings, links lead somewhere, words are ours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
DOCUMENTS = [ROOT / name for name in TRACKED if name.endswith(".md") and (ROOT / name).exists()]
SERVICES = ("api-reads", "api-writes", "aggregator", "scheduler", "workers", "single-pod")


def test_the_configuration_reference_is_that_of_the_settings_classes():
    done = subprocess.run(
        [sys.executable, "docs/generate_configuration.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(document: Path):
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]

    assert [target for target in local if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_layout(service: str):
    package = ROOT / "services" / service / "src" / "kura" / service.replace("-", "_")

    missing = [name for name in ("main.py", "config.py", "app.py", "__init__.py") if not (package / name).exists()]

    assert missing == []
    assert (ROOT / "services" / service / "README.md").exists()
    assert (ROOT / "services" / service / "Containerfile").exists()
    assert list((ROOT / "services" / service / "tests").glob("test_*.py"))


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_imports_another_except_the_single_pod(service: str):
    if service == "single-pod":
        return
    others = [other.replace("-", "_") for other in SERVICES if other != service]
    imported = re.compile(rf"\bkura\.({'|'.join(others)})\b")
    sources = (ROOT / "services" / service / "src").rglob("*.py")

    offenders = [
        f"{path.name}: {line.strip()}"
        for path in sources
        for line in path.read_text().splitlines()
        if line.lstrip().startswith(("import ", "from ")) and imported.search(line)
    ]

    assert offenders == []


def test_the_environment_is_read_in_main_modules_only():
    allowed = {"main.py", "__main__.py"}
    sources = [path for base in ("libs", "services") for path in (ROOT / base).rglob("src/**/*.py")]

    offenders = [
        str(path.relative_to(ROOT))
        for path in sources
        if path.name not in allowed
        and "kura/testing" not in str(path)
        and re.search(r"^(?!.*\(os\.environ\)`).*\bos\.(environ|getenv)\b", path.read_text(), flags=re.MULTILINE)
    ]

    assert offenders == []


def test_every_decision_is_in_the_list_with_its_title():
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text()

    for page in sorted(folder.glob("0*.md")):
        number, title = page.name[:4], page.read_text().splitlines()[0].removeprefix(f"# {page.name[:4]} ")
        assert f"- [{number}]({page.name}) {title}\n" in listed
