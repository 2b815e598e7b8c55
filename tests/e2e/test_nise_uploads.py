"""nise's own upload: one POST per CSV, with the identity header it makes; then settings that change its summary."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from openshift_tables import Expected, all_differences, settings_of
from reference.run import line_items
from settings_changes import change_settings

from kura.testing.nise import NisePayload, nise_payloads, nise_upload
from kura.testing.running import RunningKura

pytestmark = pytest.mark.slow

SCENARIO = Path(__file__).parent / "scenarios" / "several-nodes.yml"
ORG_ID, ACCOUNT = "1234567", "10001"


def test_what_nise_uploads_is_summarised(kura: RunningKura):
    cluster_id = str(uuid4())
    source = kura.add_cluster(cluster_id, name=f"nise-{cluster_id[:8]}")
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)

    nise_upload(
        SCENARIO,
        cluster_id=cluster_id,
        start=end - timedelta(days=1),
        end=end,
        url=f"{kura.http}/api/ingress/v1/upload",
        account_number=ACCOUNT,
        org_id=ORG_ID,
    )

    listed = kura.get("/uploads/", cluster_id=cluster_id, limit="100")["data"]
    assert len(listed) == 6
    done = kura.wait([upload["request_id"] for upload in listed])
    assert {upload["state"] for upload in done} == {"done"}
    found = kura.rows(source, "reporting_ocpusagelineitem_daily_summary")
    assert {row["data_source"] for row in found} == {"Pod", "Storage"}
    assert {row["usage_start"] for row in found} == {(end - timedelta(days=1)).date()}


def payload_of_today(scenario: Path, *, cluster_id: str) -> NisePayload:
    """A day of the current month, whatever day it is: what nise makes for yesterday, said of today."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = today - timedelta(days=1)
    [payload] = nise_payloads(scenario, cluster_id=cluster_id, start=yesterday, end=today)
    old, new = f"{yesterday:%Y-%m-%d} ".encode(), f"{today:%Y-%m-%d} ".encode()
    files = {name: content.replace(old, new) for name, content in payload.files.items()}
    ends = today + timedelta(hours=23, minutes=59, seconds=59)
    return replace(payload, files=files).with_manifest(start=today.isoformat(), end=ends.isoformat())


def test_after_each_change_of_settings_every_table_equals_the_reference(kura: RunningKura):
    cluster_id = str(uuid4())
    source = kura.add_cluster(cluster_id, name=f"settings-{cluster_id[:8]}")
    kura.enable_tag_keys(source, "app", "env", "team", "tier", "zone")
    archive = payload_of_today(SCENARIO.with_name("labels-changing.yml"), cluster_id=cluster_id).archive()
    kura.send(archive)
    items = line_items([archive])

    told = {
        change: all_differences(kura, Expected(items=items, source=source, settings=settings_of(kura, source)))
        for change in change_settings(kura, source, project="shop")
    }

    assert len(told) == 4
    assert {change: found for change, found in told.items() if found} == {}
