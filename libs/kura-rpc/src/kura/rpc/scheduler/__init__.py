"""Generated from proto/kura/scheduler."""
