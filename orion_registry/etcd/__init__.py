"""etcd, as much of it as a cluster needs: keys, transactions, leases, watches. Knows nothing of the registry.

Each call has a time limit. A write is sent once: whether it took place when no answer came is for its caller to find
out (`EtcdUnavailable`). Reads and watches go on at another endpoint by themselves.
"""
