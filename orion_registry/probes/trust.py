"""Which certificates probes believe."""

import ssl
from functools import cached_property

from orion_registry.errors import bad_field


class Trust:
    """The certificate authorities of a file, or of the system if there is none.

    Raises:
        InvalidArgument: the file cannot be read or holds none.
    """

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file
        if ca_file:
            try:
                self.verifying  # noqa: B018  # read now: a bad file stops the start, not a check
            except (OSError, ssl.SSLError):
                raise bad_field("ca_file", "a readable PEM file with certificates", ca_file) from None

    @cached_property
    def verifying(self) -> ssl.SSLContext:
        """Takes a certificate that is signed, in date and carries the name."""
        return ssl.create_default_context(cafile=self._ca_file or None)

    @cached_property
    def lax(self) -> ssl.SSLContext:
        """Takes any."""
        context = ssl.create_default_context(cafile=self._ca_file or None)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    @cached_property
    def roots(self) -> bytes:
        """The authorities as PEM, for gRPC, which would take those of its own package."""
        return "".join(map(ssl.DER_cert_to_PEM_cert, self.verifying.get_ca_certs(binary_form=True))).encode()
