"""Manifests: YAML text to validated resources that remember where they are written."""
