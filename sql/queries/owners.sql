-- Owners: who rows belong to. Read by the authenticator.

-- statement: owners_find
-- kind: read
-- params: token_hash bytea
-- result: id uuid, is_stale bool
SELECT id, last_seen_at < now() - interval '1 day' AS is_stale
FROM owners WHERE token_hash = $1 AND kind = 'anon' AND merged_into IS NULL AND (expires_at IS NULL OR expires_at > now());

-- statement: owners_mint
-- kind: write
-- params: token_hash bytea, days int
-- result: id uuid, expires_at text
INSERT INTO owners (kind, token_hash, expires_at) VALUES ('anon', $1, now() + make_interval(days => $2))
RETURNING id, rfc3339(expires_at);

-- statement: owners_touch
-- kind: write
-- params: owner uuid, days int
UPDATE owners SET last_seen_at = now(), expires_at = now() + make_interval(days => $2)
WHERE id = $1 AND kind = 'anon' AND last_seen_at < now() - interval '1 day';

-- statement: owners_read
-- kind: read
-- params: owner uuid
-- result: etag text, body json
SELECT version::text AS etag, {{owner_body}} AS body FROM owners o WHERE o.id = $1;

-- fragment: owner_body
json_build_object('kind', CASE o.kind WHEN 'anon' THEN 'anonymous' ELSE o.kind END, 'userId', CASE o.kind WHEN 'anon' THEN NULL ELSE o.id END,
	'expiresAt', rfc3339(o.expires_at), 'createdAt', rfc3339(o.created_at), 'version', o.version)

-- Everything of the owner goes with it: all foreign keys to owners cascade.
-- statement: owners_remove
-- kind: write
-- params: owner uuid, versions int[]
-- result: is_done bool
WITH present AS (SELECT id FROM owners WHERE id = $1),
gone AS (DELETE FROM owners WHERE id = $1 AND ($2::int[] IS NULL OR version = ANY ($2)) RETURNING id)
{{removed}};
