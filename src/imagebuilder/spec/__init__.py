"""What the user wrote, as frozen typed values. Reads files; decides nothing."""
