"""Generated from proto/kura/costs."""
