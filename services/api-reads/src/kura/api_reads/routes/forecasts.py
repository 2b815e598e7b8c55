"""The forecast endpoints."""

from __future__ import annotations

from kura.api_reads.endpoints import PAGING, Described, Endpoint, Freshness
from kura.api_reads.forecasts import answer_forecast
from kura.api_reads.routes.reports import permit_openshift


def forecast_endpoints() -> list[Endpoint]:
    return [
        Endpoint(
            path="forecasts/openshift/costs/",
            summary="Costs of OpenShift for the rest of the month, continued from the last 31 days.",
            view=answer_forecast,
            permit=permit_openshift,
            freshness=Freshness.NEVER,
            parameters=(*PAGING, Described(name="currency", text="ISO 4217 code all costs are shown in.")),
        )
    ]
