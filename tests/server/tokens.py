"""Tokens for tests, and the metadata that shows them."""

from orion_registry.testing.tokens import Tokens

__all__ = ["Tokens", "bearer"]


def bearer(text: str) -> tuple[tuple[str, str], ...]:
    """Metadata of a call that shows a token."""
    return (("authorization", f"Bearer {text}"),)
