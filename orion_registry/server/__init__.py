"""Floor 4: the daemon's gRPC face."""
