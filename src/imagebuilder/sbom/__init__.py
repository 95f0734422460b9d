"""What is in a layer, package by package, and how SPDX and CycloneDX say it. Pure."""
