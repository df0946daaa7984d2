"""The command line `relais`."""
