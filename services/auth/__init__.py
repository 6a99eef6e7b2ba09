"""Who somebody is: accounts, log-ins, access tokens and rotating refresh tokens."""
