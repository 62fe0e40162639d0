"""Where stored facts are kept. `base` is the contract; every backend passes the same suite (tests/store)."""
