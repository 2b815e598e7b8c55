"""Generated from proto/kura/reports."""
