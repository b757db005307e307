-- MQTT subscriptions of connectors (connector/ingest). The password goes to the broker and nowhere else.
CREATE TABLE mqtt_subscription (
    subscription_id TEXT PRIMARY KEY,
    connector_id TEXT NOT NULL REFERENCES connector ON DELETE CASCADE,
    settings TEXT NOT NULL, -- JSON: connector.ingest.mqtt_settings.MqttSettings
    password TEXT NOT NULL,
    former TEXT NOT NULL, -- JSON: filters of earlier settings that the session at the broker may still hold
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX mqtt_subscription_by_connector ON mqtt_subscription (connector_id);

-- Asked for each request of readings: the few devices that are locked, of many.
CREATE INDEX device_by_lock ON device (connector_id, identity) WHERE locked <> 0;

-- The device that an API key is bound to, in its connector; NULL for the key of an operator's program.
ALTER TABLE api_key ADD COLUMN connector_id TEXT REFERENCES connector ON DELETE CASCADE;
ALTER TABLE api_key ADD COLUMN device TEXT;
