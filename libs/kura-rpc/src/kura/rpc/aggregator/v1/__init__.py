"""Generated from proto/kura/aggregator/v1."""
