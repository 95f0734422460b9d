"""What builds leave behind for good: an OCI image layout with every artifact, and the folders that steps made."""
