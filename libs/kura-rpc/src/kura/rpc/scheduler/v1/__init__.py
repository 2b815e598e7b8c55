"""Generated from proto/kura/scheduler/v1."""
