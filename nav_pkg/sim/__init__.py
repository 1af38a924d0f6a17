"""The Simulator protocol and the control of simulator processes."""
