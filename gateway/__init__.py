"""What Envoy cannot do itself: reflection. No database, no rules."""
