"""The worked examples of the specification. `reference` is found through `pythonpath` of pyproject.toml."""
