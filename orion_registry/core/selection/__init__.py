"""Selection: which of the ready services gets the next call, with a slot on it reserved for the caller.

From the inside out: `slots` and `leases` count what is taken, a strategy (one file each) orders the candidates of one
tier, a `ranking` follows what changes, a `pool` holds the candidates of one selector, the `balancer` is the front door.
"""
