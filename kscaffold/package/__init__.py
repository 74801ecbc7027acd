"""Modules on their way to other machines: dkms.conf, and a place where modprobe finds them."""
