"""Generated gRPC stubs, interceptors, error mapping."""
