"""The write gateway: uploads, sources, cost models, settings; primary database."""
