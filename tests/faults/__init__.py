"""What may go wrong between a node and its servers: the fault matrix of tests/root/test_initrd_faults.py."""
