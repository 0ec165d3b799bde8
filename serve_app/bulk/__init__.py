"""Many recordings, from a folder into a table: what needs no Ray of it."""
