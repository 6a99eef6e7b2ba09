"""Photos and their analyses: takes the upload, starts the work, keeps what was found out, shows how far it is."""
