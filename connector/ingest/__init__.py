"""The ways in for readings: what HTTP bodies, MQTT messages and the people behind them mean as lines of readings.

What belongs here: the forms of HTTP bodies, who may report for whom, MQTT. What does not: checking and storing readings
(`connector.readings`, `connector.ingestion`), pages, and routes.
"""
