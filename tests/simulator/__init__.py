"""The core in virtual time: seeded agents, network and faults drive a real `Registry`, and every step is judged.

    python -m tests.simulator --help

One seed is one run, and replays exactly. What is real here: the registry, and of the SDK its state machine and its
back-off. What is modelled: time, the network (`network`), HTTP/2 PING on both sides, the processes and their faults.
The simulator knows the truth about every agent, and says where the registry's view breaks a rule (`oracle`, `twin`).
"""
