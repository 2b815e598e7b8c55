"""Generated from proto/kura/reports/v1."""
