"""nise's own upload: one POST per CSV, with the identity header it makes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from kura.testing.nise import nise_upload
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
