"""The way from manifests to a converged host: sources, one pass, its report."""
