"""What tests are made with: fakes of clock, randomness, stores and probes; a daemon inside the test; faults; the plugin."""
