"""What a person shows and prefers: profile, avatar, settings; and the erasure of a person in every domain."""
