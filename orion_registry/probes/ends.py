"""How an attempt ends other than by passing.

Texts are our own words, and never anything that the target sent: what a check says can be read by anybody.
"""


class CheckFailed(Exception):
    """The service did not answer as it should. A custom check raises it with the reason."""


class Unreached(CheckFailed):
    """Nothing took the connection; another address of the same name may."""


class CheckUnavailable(Exception):
    """The registry could not look, by no fault of the service."""


class CheckDenied(Exception):
    """The egress policy refused the target; nothing was sent."""
