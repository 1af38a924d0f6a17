"""One module a command: flags, help, exit codes."""
