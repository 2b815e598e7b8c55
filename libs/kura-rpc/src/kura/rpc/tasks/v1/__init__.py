"""Generated from proto/kura/tasks/v1."""
