"""What every part of Kura shares: days, units, errors, identity, settings, telemetry and the shape of a service."""
