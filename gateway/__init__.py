"""What Envoy cannot do itself: reflection, redirects, cookies. No database, no rules."""
