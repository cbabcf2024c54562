"""The deployment on this machine: hub, inference server and workers as child processes."""
