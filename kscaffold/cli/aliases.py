"""The names that others have given to what our commands do."""

ALIASES = {"insmod": "load", "rmmod": "unload", "lsmod": "list", "dmesg": "logs", "modinfo": "info"}
"""The commands of kmod and util-linux, and which of ours each is."""
