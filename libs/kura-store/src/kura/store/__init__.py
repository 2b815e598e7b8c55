"""Tables, migrations per tenant, tenancy, leases and the object store."""
