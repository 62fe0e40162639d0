"""Active checks: what they are, when they run, and what their verdicts mean for a service."""
