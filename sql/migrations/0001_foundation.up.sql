-- What everything stands on: the functions that make ids and write times, who owns rows, and the memory of creates that may be repeated.
-- The schema itself and schema_migrations are made by the migration runner before the first migration.

-- UUID version 7 (RFC 9562, 6.2 method 3): milliseconds, then 12 bits of their fraction, then 62 random bits, so ids sort by time to a quarter of a
-- microsecond. One plain expression, so that the planner puts it in place of the call. PostgreSQL 18 has uuidv7(); 15 has not.
CREATE FUNCTION renovationd.uuid7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
	SELECT overlay(
		overlay(encode(int8send((date_part('epoch', clock_timestamp()) * 4096000)::bigint << 4), 'hex') placing '7' from 13 for 0)
		placing substr(gen_random_uuid()::text, 20) from 17)::uuid
$$;
COMMENT ON FUNCTION renovationd.uuid7() IS 'A new id: UUID version 7, sorts by the time it was made';

CREATE FUNCTION renovationd.rfc3339(at timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
	SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;
COMMENT ON FUNCTION renovationd.rfc3339(timestamptz) IS 'A time as the API shows it: RFC 3339, UTC, milliseconds; NULL for NULL';

CREATE TABLE renovationd.owners (
	id           uuid PRIMARY KEY DEFAULT renovationd.uuid7(),
	kind         text NOT NULL CHECK (kind IN ('user', 'anon', 'service')),
	token_hash   bytea UNIQUE CHECK (octet_length(token_hash) = 32),
	last_seen_at timestamptz NOT NULL DEFAULT now(),
	expires_at   timestamptz,
	merged_into  uuid REFERENCES renovationd.owners (id),
	created_at   timestamptz NOT NULL DEFAULT now(),
	updated_at   timestamptz NOT NULL DEFAULT now(),
	version      int NOT NULL DEFAULT 1,
	CONSTRAINT owners_token_is_anonymous CHECK ((kind = 'anon') = (token_hash IS NOT NULL))
);
CREATE INDEX owners_expiry ON renovationd.owners (expires_at) WHERE kind = 'anon';
CREATE INDEX owners_merged ON renovationd.owners (merged_into) WHERE merged_into IS NOT NULL;
COMMENT ON TABLE renovationd.owners IS 'Whom rows belong to: a person with an account, an anonymous browser, a machine. Every request resolves to one';
COMMENT ON COLUMN renovationd.owners.token_hash IS 'sha256 of the anonymous owner''s token; the token itself is never stored';
COMMENT ON COLUMN renovationd.owners.merged_into IS 'The account that claimed an anonymous owner''s rows';

CREATE TABLE renovationd.profiles (
	id           uuid PRIMARY KEY DEFAULT renovationd.uuid7(),
	owner_id     uuid NOT NULL UNIQUE REFERENCES renovationd.owners (id) ON DELETE CASCADE,
	email        text,
	display_name text,
	locale       text,
	time_zone    text,
	role         text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
	settings     jsonb NOT NULL DEFAULT '{}',
	created_at   timestamptz NOT NULL DEFAULT now(),
	updated_at   timestamptz NOT NULL DEFAULT now(),
	version      int NOT NULL DEFAULT 1
);
CREATE INDEX profiles_email ON renovationd.profiles (lower(email));
COMMENT ON TABLE renovationd.profiles IS 'What a person with an account tells about themselves; one row for each owner of kind user';

CREATE TABLE renovationd.idempotency_keys (
	owner_id     uuid NOT NULL REFERENCES renovationd.owners (id) ON DELETE CASCADE,
	route        text NOT NULL,
	key          text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
	request_hash bytea NOT NULL,
	status       int NOT NULL CHECK (status BETWEEN 100 AND 599),
	headers      jsonb NOT NULL DEFAULT '{}',
	body         text NOT NULL,
	created_at   timestamptz NOT NULL DEFAULT now(),
	expires_at   timestamptz NOT NULL DEFAULT now() + interval '24 hours',
	PRIMARY KEY (owner_id, route, key)
);
CREATE INDEX idempotency_keys_expiry ON renovationd.idempotency_keys (expires_at);
COMMENT ON TABLE renovationd.idempotency_keys IS 'The answers of creates with an Idempotency-Key, written in the same statement as the effect, replayed when the key comes again';
COMMENT ON COLUMN renovationd.idempotency_keys.request_hash IS 'sha256 of the request''s body: the same key with another body is refused';
