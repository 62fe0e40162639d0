"""The asyncio shell around the core: clock, entropy, the one writer, the ticker, the watch hub."""
