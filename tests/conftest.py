"""For all tests: what a slow machine, or the shell that started them, must not change."""

import signal

from hypothesis import settings

settings.register_profile("orion", deadline=None)  # no example fails because the machine was slow
settings.load_profile("orion")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job: children would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
