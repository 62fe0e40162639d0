"""What tests are made with: fakes of clock, randomness, stores and probes; a daemon in the test; faults; the plugin."""
