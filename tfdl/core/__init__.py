"""What everything else stands on: configurations, batch contracts, and the one update step."""
