"""What lets a process join the mesh. Knows no business noun; a closed list of modules."""
