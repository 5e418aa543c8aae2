-- Health: the one question a readiness probe asks.

-- statement: health_probe
-- kind: read
-- result: newest bigint, count bigint
SELECT coalesce(max(version), 0) AS newest, count(*) AS count FROM schema_migrations;
