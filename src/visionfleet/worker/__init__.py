"""The batch worker: leases tasks from the hub, runs their workflow on an inference server, commits the results."""
