"""Generated from proto/kura/aggregator."""
