"""Another store's side of it: OCI registries, to which images are pushed and from which they are pulled."""
