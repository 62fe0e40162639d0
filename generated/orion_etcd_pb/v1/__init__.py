"""Generated from protos/ by scripts/gen-protos; never edited."""
