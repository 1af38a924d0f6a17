"""One module per command: flags, help, exit codes."""
