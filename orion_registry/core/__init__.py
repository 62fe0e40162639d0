"""The registry's rules, pure: no I/O, no clock, no randomness, no threads.

Everything that decides lives here and can be tested in virtual time. `registry.Registry` is the front door: commands
and an instant go in; records, snapshots, edges and frames come out. `docs/design.md` draws the machines.
"""
