-- Conversations, with a session or without. What happens in them (messages, turns) is chat's; its changes show in lastSeq and activeTurnId, which are
-- therefore part of the tag.

-- fragment: conversation_body
json_build_object('id', r.id, 'sessionId', r.session_id, 'title', r.title, 'titleSource', r.title_source, 'isDefault', r.is_default,
	'activeTurnId', r.active_turn_id, 'lastSeq', r.last_seq, 'createdAt', rfc3339(r.created_at), 'updatedAt', rfc3339(r.updated_at),
	'version', r.version)

-- fragment: conversation_etag
CASE WHEN r.updated_at = r.created_at AND r.last_seq = 0 THEN r.version::text
	ELSE concat(r.version, '-', (extract(epoch FROM r.updated_at) * 1000000)::bigint, '.', r.last_seq, '.', r.active_turn_id) END

-- statement: conversations_list
-- kind: read
-- params: owner uuid, after timestamptz, after_id uuid, limit int, session_id uuid
-- result: key text, id uuid, body json
SELECT r.updated_at::text AS key, r.id, {{conversation_body}} AS body
FROM conversations r
WHERE r.owner_id = $1
	AND (r.updated_at, r.id) < (coalesce($2, 'infinity'::timestamptz), coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
	AND ($5::uuid IS NULL OR r.session_id = $5)
ORDER BY r.updated_at DESC, r.id DESC LIMIT $4;

-- statement: conversations_create
-- kind: write
-- params: owner uuid, input jsonb, route text, idempotency_key text, request_hash bytea
-- result: outcome text, id uuid, etag text, body text
WITH {{prior}},
made AS (
	INSERT INTO conversations (owner_id, session_id, title, title_source)
	SELECT $1, ($2->>'sessionId')::uuid, coalesce($2->>'title', ''), CASE WHEN $2->>'title' IS NULL THEN 'auto' ELSE 'user' END
	WHERE NOT EXISTS (SELECT FROM prior)
	RETURNING *
),
shown AS (SELECT r.id, {{conversation_etag}} AS etag, {{conversation_body}} AS body FROM made r),
{{kept}};

-- statement: conversations_read
-- kind: read
-- params: owner uuid, id uuid
-- result: etag text, body json
SELECT {{conversation_etag}} AS etag, {{conversation_body}} AS body FROM conversations r WHERE r.owner_id = $1 AND r.id = $2;

-- statement: conversations_update
-- kind: write
-- params: owner uuid, id uuid, input jsonb, versions int[]
-- result: is_done bool, etag text, body json
WITH present AS (SELECT id FROM conversations WHERE owner_id = $1 AND id = $2),
changed AS (
	UPDATE conversations SET
		title = CASE WHEN $3 ? 'title' THEN $3->>'title' ELSE title END,
		title_source = CASE WHEN $3 ? 'title' THEN 'user' ELSE title_source END,
		updated_at = now(), version = version + 1
	WHERE owner_id = $1 AND id = $2 AND ($4::int[] IS NULL OR version = ANY ($4))
	RETURNING *
),
shown AS (SELECT {{conversation_etag}} AS etag, {{conversation_body}} AS body FROM changed r)
{{updated}};

-- A session's default conversation goes only with its session.
-- statement: conversations_remove
-- kind: write
-- params: owner uuid, id uuid, versions int[]
-- result: is_done bool, is_default bool
WITH present AS (SELECT id, is_default FROM conversations WHERE owner_id = $1 AND id = $2),
gone AS (
	DELETE FROM conversations WHERE owner_id = $1 AND id = $2 AND NOT is_default AND ($3::int[] IS NULL OR version = ANY ($3)) RETURNING id
)
SELECT EXISTS (SELECT FROM gone) AS is_done, is_default FROM present;
