"""What joins several daemons to one registry. Without it a daemon is alone, and nothing here is imported.

`base` is what a shell needs of any cluster, `etcd` the one there is. What is decided, `core.membership` decides.
"""
