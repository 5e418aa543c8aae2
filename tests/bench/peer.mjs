// peer.mjs: the servers that renovationd is compared with, as their own documentation would write them. One process each.
//   node peer.mjs express|fastify|express-pg|fastify-pg|relay PORT
// DATABASE_URL and SESSION_SQL serve the -pg ones, UPSTREAM the relay.
import { createServer } from 'node:http';
import { Readable } from 'node:stream';

const [kind, port] = process.argv.slice(2);
const health = { status: 'ok', timestamp: '2026-01-01T00:00:00.000Z', environment: 'production', version: '0.1.0' };

async function pool() {
  const { default: pg } = await import('pg');
  // a socket folder is given to pg by its own option
  const url = new URL(process.env.DATABASE_URL.replace('postgresql:///', 'postgresql://localhost/'));
  return new pg.Pool({
    host: url.searchParams.get('host'),
    port: Number(url.searchParams.get('port') ?? 5432),
    user: url.searchParams.get('user'),
    database: url.pathname.slice(1),
    max: 8,
  });
}

const statement = (owner, id) => ({ name: 'session_read', text: process.env.SESSION_SQL, values: [owner, id] });

if (kind === 'express' || kind === 'express-pg') {
  const { default: express } = await import('express');
  const app = express();
  app.disable('x-powered-by');
  app.get('/health', (request, response) => response.json(health));
  if (kind === 'express-pg') {
    const db = await pool();
    app.get('/api/sessions/:id', async (request, response) => {
      const { rows } = await db.query(statement(process.env.OWNER_ID, request.params.id));
      response.set('ETag', `"${rows[0].version}"`).type('json').send(rows[0].body);
    });
  }
  app.listen(Number(port), '127.0.0.1', () => console.log('listening'));
} else if (kind === 'fastify' || kind === 'fastify-pg') {
  const { default: fastify } = await import('fastify');
  const app = fastify();
  app.get('/health', async () => health);
  if (kind === 'fastify-pg') {
    const db = await pool();
    app.get('/api/sessions/:id', async (request, reply) => {
      const { rows } = await db.query(statement(process.env.OWNER_ID, request.params.id));
      reply.header('etag', `"${rows[0].version}"`).type('application/json');
      return rows[0].body;
    });
  }
  await app.listen({ port: Number(port), host: '127.0.0.1' });
  console.log('listening');
} else if (kind === 'relay') {
  // What a Node backend does at least: parse each event of the model's stream and send its text on in another form.
  createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const upstream = await fetch(process.env.UPSTREAM, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-goog-api-key': 'bench' },
      body: Buffer.concat(chunks),
    });
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of Readable.fromWeb(upstream.body)) {
      rest += decoder.decode(chunk, { stream: true });
      const events = rest.split('\r\n\r\n');
      rest = events.pop();
      for (const event of events) {
        const text = JSON.parse(event.slice(6)).candidates?.[0]?.content?.parts?.[0]?.text;
        if (text) response.write(`data: ${JSON.stringify({ type: 'text-delta', id: 't1', delta: text })}\n\n`);
      }
    }
    response.end('data: [DONE]\n\n');
  }).listen(Number(port), '127.0.0.1', () => console.log('listening'));
} else {
  console.error(`peer.mjs: unknown peer ${kind}`);
  process.exit(64);
}
