"""The hub: the platform that the unmodified server and command line talk to."""
