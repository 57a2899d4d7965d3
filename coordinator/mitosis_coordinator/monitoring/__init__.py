"""What the coordinator counts about itself, in Prometheus' terms. Nothing is looked up when it is scraped."""
