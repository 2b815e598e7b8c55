"""Cost models on the command line: from a YAML file to the API, and back to a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from kura.single_pod.client import Kura
from kura.single_pod.problems import CommandError

Document = dict[str, Any]

FIELDS = frozenset(
    {
        "name", "description", "source_type", "currency", "markup", "distribution", "distribution_info", "rates",
        "effective_start_date", "effective_end_date",
    }
)  # fmt: skip
RATE_FIELDS = frozenset(
    {
        "metric", "cost_type", "description", "custom_name", "price", "tag_key", "tag_values", "default",
        "tiered_rates", "tag_rates",
    }
)  # fmt: skip
DEFAULT_VALUE = "(any other)"
"""Stands for the values of a label that a rate does not name."""


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A cost model as written in a file: what the API is sent, and the months its prices hold."""

    name: str
    body: Document
    validity: Document


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A cost model after it was applied."""

    model: Document
    created: bool


# ------------------------------------------------------------------------------------------------------------ reading


def read_model(path: Path) -> ModelFile:
    """The cost model of a file. CommandError says what is wrong with its form; the API checks its content."""
    document = _load(path)
    unknown = sorted(set(document) - FIELDS)
    if unknown:
        known = ", ".join(sorted(FIELDS))
        raise CommandError(f"{path}: {unknown[0]!r} is not known here.", hint=f"Known: {known}.")
    name = document.get("name")
    if not isinstance(name, str) or not name.strip():
        raise CommandError(f"{path}: the cost model needs a name.")
    currency = document.get("currency")
    rates = document.get("rates") or []
    if not isinstance(rates, list):
        raise CommandError(f"{path}: rates must be a list.")
    body: Document = {
        "description": "",
        "source_type": "OCP",
        **{key: document[key] for key in ("name", "description", "source_type", "currency") if key in document},
        **_distribution(document),
        "markup": _markup(document.get("markup")),
        "rates": [
            _rate(rate, place=f"{path}: rate {number}", currency=currency) for number, rate in enumerate(rates, start=1)
        ],
    }
    validity = {
        key: _day_text(document[key])
        for key in ("effective_start_date", "effective_end_date")
        if document.get(key) is not None
    }
    return ModelFile(name=name, body=body, validity=validity)


def _load(path: Path) -> Document:
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise CommandError(f"{path}: a cost model is a mapping, for example `name: Standard prices`.")
    return document


def _distribution(document: Document) -> Document:
    """What the API is told of distribution: there an object without a type means cpu, in a file what is beside it."""
    given = {key: document[key] for key in ("distribution", "distribution_info") if document.get(key) is not None}
    info = given.get("distribution_info")
    if isinstance(info, dict) and "distribution" in given:
        given["distribution_info"] = {"distribution_type": given["distribution"], **info}
    return given


def _markup(given: Any) -> Any:
    """A plain number is a percentage."""
    if given is None:
        return {}
    return given if isinstance(given, dict) else {"value": _number(given), "unit": "percent"}


def _rate(rate: Any, *, place: str, currency: str | None) -> Document:
    """One rate in the form of the API; `price` and `tag_key`, `tag_values`, `default` are short for its lists."""
    if not isinstance(rate, dict):
        raise CommandError(f"{place}: must be a mapping with metric and price.")
    unknown = sorted(set(rate) - RATE_FIELDS)
    if unknown:
        raise CommandError(
            f"{place}: {unknown[0]!r} is not known here.", hint=f"Known: {', '.join(sorted(RATE_FIELDS))}."
        )
    unit = currency or "USD"
    metric = rate.get("metric")
    body: Document = {
        "metric": {"name": metric} if isinstance(metric, str) else metric,
        **{key: rate[key] for key in ("cost_type", "description", "custom_name") if rate.get(key) is not None},
        **{key: rate[key] for key in ("tiered_rates", "tag_rates") if rate.get(key) is not None},
    }
    if "price" in rate:
        body["tiered_rates"] = [{"value": _number(rate["price"]), "unit": unit}]
    if "tag_key" in rate:
        values = rate.get("tag_values") or {}
        if not isinstance(values, dict):
            raise CommandError(f"{place}: tag_values must map each value to its price.")
        prices = [(str(value), price, False) for value, price in values.items()]
        if rate.get("default") is not None:
            prices.append((DEFAULT_VALUE, rate["default"], True))
        body["tag_rates"] = {
            "tag_key": rate["tag_key"],
            "tag_values": [
                {"tag_value": value, "value": _number(price), "unit": unit, "default": is_default}
                for value, price, is_default in prices
            ],
        }
    return body


def _number(given: Any) -> Any:
    """A number as text, so that it arrives as it was written."""
    return str(given) if isinstance(given, int | float) and not isinstance(given, bool) else given


def _day_text(given: Any) -> str:
    return given.isoformat() if isinstance(given, date) else str(given)


# ----------------------------------------------------------------------------------------------------------- applying


def apply_model(kura: Kura, given: ModelFile, *, sources: Sequence[str] | None) -> Applied:
    """Create the cost model of this name, or change it. Without `sources` its sources stay as they are."""
    body = dict(given.body)
    if sources is not None:
        body["source_uuids"] = [source_uuid(kura, name) for name in sources]
    known = find_model(kura, given.name)
    if known is None:
        model = kura.post("/cost-models/", body)
    else:
        model = kura.put(f"/cost-models/{known['uuid']}/", body)
    if given.validity and model["price_lists"]:
        kura.put(f"/price-lists/{model['price_lists'][0]['uuid']}/", given.validity)
        model = kura.get(f"/cost-models/{model['uuid']}/")
    return Applied(model=model, created=known is None)


def unpriced_labels(kura: Kura, model: Mapping[str, Any]) -> list[str]:
    """A warning for every label in rates whose values are not kept in summaries: its rates cost nothing."""
    names = {rate["tag_rates"]["tag_key"] for rate in model["rates"] if rate.get("tag_rates")}
    if not names:
        return []
    try:
        kept = {item["key"]: item["enabled"] for item in kura.pages("/settings/tags/", size=1000)}
    except CommandError as error:
        return [f"Whether {', '.join(sorted(names))} are kept in summaries could not be looked up: {error}"]
    return [
        f"The rates of the label {name} cost nothing yet: its values are not kept in summaries.\n"
        + (
            f"  → `kura tags --enable {name}` keeps them."
            if name in kept
            else f"  → No upload has brought it yet; once one has, `kura tags --enable {name}` keeps them."
        )
        for name in sorted(names)
        if not kept.get(name)
    ]


def source_uuid(kura: Kura, name: str) -> str:
    """The uuid of the one source with this name, id, uuid or cluster id."""
    found = [
        source
        for source in kura.pages("/sources/")
        if name in (str(source["id"]), source["uuid"], source["name"], source.get("source_ref"))
    ]
    if len(found) != 1:
        what = "No source is" if not found else f"{len(found)} sources are"
        raise CommandError(f"{what} called {name}.", hint="See `kura source list`; ids are unique.")
    return str(found[0]["uuid"])


def find_model(kura: Kura, name: str) -> Mapping[str, Any] | None:
    """The cost model with exactly this name or uuid; CommandError when several share the name."""
    found = [model for model in kura.pages("/cost-models/") if name in (model["name"], model["uuid"])]
    if len(found) > 1:
        raise CommandError(f"{len(found)} cost models are called {name}.", hint="Say which by its uuid.")
    return found[0] if found else None


def get_model(kura: Kura, name: str) -> Mapping[str, Any]:
    found = find_model(kura, name)
    if found is None:
        raise CommandError(f"No cost model is called {name}.", hint="See `kura cost-model list`.")
    return found


# ------------------------------------------------------------------------------------------------------------ showing


def model_rows(models: Sequence[Mapping[str, Any]]) -> list[Document]:
    return [
        {
            "name": model["name"],
            "type": model["source_type"],
            "sources": ", ".join(source["name"] for source in model["sources"]),
            "currency": model["currency"],
            "rates": len(model["rates"]),
            "markup": f"{float(model['markup']['value']):g} %" if model["markup"] else "",
            "distribution": model["distribution_info"].get("distribution_type", ""),
            "uuid": model["uuid"],
        }
        for model in models
    ]


MODEL_COLUMNS = {
    "name": "name", "type": "type", "sources": "sources", "currency": "currency", "rates": "rates",
    "markup": "markup", "distribution": "handed on by", "uuid": "uuid",
}  # fmt: skip


def rate_rows(model: Mapping[str, Any]) -> list[Document]:
    """A row for every price."""
    rows = []
    for rate in model["rates"]:
        common = {
            "rate": rate.get("custom_name", ""),
            "metric": rate["metric"]["name"],
            "unit": rate["metric"].get("label_measurement_unit", ""),
            "cost_type": rate["cost_type"],
        }
        rows += [
            {**common, "label": "", "price": f"{tier['value']} {tier['unit']}"}
            for tier in rate.get("tiered_rates", ())[:1]
        ]
        tags = rate.get("tag_rates") or {}
        rows += [
            {
                **common,
                "label": f"{tags['tag_key']} = {_value_words(value)}",
                "price": f"{value['value']} {value['unit']}",
            }
            for value in tags.get("tag_values", ())
        ]
    return rows


def _value_words(value: Mapping[str, Any]) -> str:
    if value["tag_value"] == DEFAULT_VALUE:
        return "any other"
    return f"{value['tag_value']} or any other" if value["default"] else str(value["tag_value"])


RATE_COLUMNS = {
    "rate": "rate", "metric": "metric", "unit": "per", "cost_type": "cost type", "label": "label", "price": "price",
}  # fmt: skip
