"""Names, MACs and addresses as pure functions of the manifests and of what is observed."""
