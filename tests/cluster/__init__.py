"""A cluster on real etcd: several members, killed, stopped and cut off."""
