"""Firewall: reading and writing the rules of the calling thread's network namespace."""
