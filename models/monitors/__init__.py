"""What the monitor looks at: drift, volume, performance; findings and alarms."""
