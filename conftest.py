"""Fixtures of all tests: PostgreSQL, object stores (see kura.testing), and what random tests begin from.

A run of all tests tries the same random examples each time, so that it judges the change and not the day; with
`KURA_FUZZ_EXAMPLES` set they are new ones each time.
"""

import os

from hypothesis import settings

pytest_plugins = ["kura.testing.fixtures"]

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("searching", print_blob=True)
settings.load_profile("searching" if "KURA_FUZZ_EXAMPLES" in os.environ else "repeatable")
