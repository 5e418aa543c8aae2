DROP TABLE renovationd.idempotency_keys;
DROP TABLE renovationd.profiles;
DROP TABLE renovationd.owners;
DROP FUNCTION renovationd.rfc3339(timestamptz);
DROP FUNCTION renovationd.uuid7();
