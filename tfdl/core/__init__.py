"""The foundation of all other packages: configurations, batch contracts, files, and the update step."""
