"""A registry under mixed life for minutes or hours: what grows, and what comes back to where it was."""
