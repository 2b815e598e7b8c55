"""Errors of the whole product: each code, which clients and other services read, names one of them."""

import importlib
import pkgutil
from collections import Counter

import kura
from kura.core.errors import KuraError


def every_error() -> list[type[KuraError]]:
    for module in pkgutil.walk_packages(kura.__path__, "kura."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, waiting = [], [KuraError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += [each for each in kind.__subclasses__() if each.__module__.startswith("kura.")]
    return found


def test_codes_name_one_error_each():
    codes = Counter(kind.code for kind in every_error())

    assert [code for code, kinds in codes.items() if kinds > 1] == []
