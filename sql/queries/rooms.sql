-- Rooms of a session, in the owner's order.

-- fragment: room_body
json_build_object('id', r.id, 'sessionId', r.session_id, 'name', r.name, 'kind', r.kind, 'position', r.position, 'lengthM', trim_scale(r.length_m),
	'widthM', trim_scale(r.width_m), 'heightM', trim_scale(r.height_m), 'areaM2', trim_scale(r.area_m2), 'budget', r.budget::text, 'checklist', r.checklist,
	'plan', r.plan, 'createdAt', rfc3339(r.created_at), 'updatedAt', rfc3339(r.updated_at), 'version', r.version)

-- A list below a parent gives one row without id when it is empty, and none when the parent is not the owner's.
-- statement: rooms_list
-- kind: read
-- params: owner uuid, parent uuid, after int, after_id uuid, limit int
-- result: key text, id uuid, body json
SELECT r.position::text AS key, r.id, CASE WHEN r.id IS NOT NULL THEN {{room_body}} END AS body
FROM renovation_sessions p
LEFT JOIN LATERAL (
	SELECT * FROM renovation_rooms
	WHERE owner_id = $1 AND session_id = $2
		AND (position, id) > (coalesce($3, -2147483648), coalesce($4, '00000000-0000-0000-0000-000000000000'::uuid))
	ORDER BY position, id LIMIT $5
) r ON true
WHERE p.owner_id = $1 AND p.id = $2
ORDER BY r.position, r.id;

-- A room without a position goes to the end.
-- statement: rooms_create
-- kind: write
-- params: owner uuid, input jsonb, route text, idempotency_key text, request_hash bytea, parent uuid
-- result: outcome text, id uuid, etag text, body text
WITH {{prior}},
made AS (
	INSERT INTO renovation_rooms (owner_id, session_id, name, kind, position, length_m, width_m, height_m, area_m2, budget, checklist, plan)
	SELECT $1, $6, $2->>'name', $2->>'kind',
		coalesce(($2->>'position')::int, (SELECT least(coalesce(max(x.position) + 1, 0), 1000000)
			FROM renovation_rooms x WHERE x.owner_id = $1 AND x.session_id = $6)),
		($2->>'lengthM')::numeric, ($2->>'widthM')::numeric, ($2->>'heightM')::numeric, ($2->>'areaM2')::numeric, ($2->>'budget')::numeric,
		nullif($2->'checklist', 'null'), nullif($2->'plan', 'null')
	WHERE NOT EXISTS (SELECT FROM prior)
	RETURNING *
),
{{child_created: room_body}};

-- statement: rooms_read
-- kind: read
-- params: owner uuid, id uuid
-- result: etag text, body json
{{child_read: renovation_rooms, room_body}};

-- statement: rooms_update
-- kind: write
-- params: owner uuid, id uuid, input jsonb, versions int[]
-- result: is_done bool, etag text, body json
WITH present AS (SELECT id FROM renovation_rooms WHERE owner_id = $1 AND id = $2),
changed AS (
	UPDATE renovation_rooms SET
		name = CASE WHEN $3 ? 'name' THEN $3->>'name' ELSE name END,
		kind = CASE WHEN $3 ? 'kind' THEN $3->>'kind' ELSE kind END,
		position = CASE WHEN $3 ? 'position' THEN ($3->>'position')::int ELSE position END,
		length_m = CASE WHEN $3 ? 'lengthM' THEN ($3->>'lengthM')::numeric ELSE length_m END,
		width_m = CASE WHEN $3 ? 'widthM' THEN ($3->>'widthM')::numeric ELSE width_m END,
		height_m = CASE WHEN $3 ? 'heightM' THEN ($3->>'heightM')::numeric ELSE height_m END,
		area_m2 = CASE WHEN $3 ? 'areaM2' THEN ($3->>'areaM2')::numeric ELSE area_m2 END,
		budget = CASE WHEN $3 ? 'budget' THEN ($3->>'budget')::numeric ELSE budget END,
		checklist = CASE WHEN $3 ? 'checklist' THEN nullif($3->'checklist', 'null') ELSE checklist END,
		plan = CASE WHEN $3 ? 'plan' THEN nullif($3->'plan', 'null') ELSE plan END,
		updated_at = now(), version = version + 1
	WHERE owner_id = $1 AND id = $2 AND ($4::int[] IS NULL OR version = ANY ($4))
	RETURNING *
),
{{child_updated: room_body}};

-- statement: rooms_remove
-- kind: write
-- params: owner uuid, id uuid, versions int[]
-- result: is_done bool
{{child_remove: renovation_rooms}};
