"""A package, so that its mesh (scope="package") ends with its last test and not with the session."""
