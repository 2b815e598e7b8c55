"""All fixtures of Kura: `pytest_plugins = ["kura.testing.fixtures"]` in a conftest.py makes them known."""

pytest_plugins = [
    "kura.testing.postgres",
    "kura.testing.objects",
    "kura.testing.brokers",
]
