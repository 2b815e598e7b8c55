"""Generated from proto/kura/costs/v1."""
