"""Generated from proto/kura/tasks."""
