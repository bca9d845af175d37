"""Real processes and real clients: what the end-to-end tests stand on."""
