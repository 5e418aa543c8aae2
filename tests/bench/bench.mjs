// bench.mjs: measures renovationd beside its peers and limits, all on this machine in this run, and prints one table of ratios.
// Started by ./dev bench, which has built everything, made a PostgreSQL (BENCH_PG = socket folder) and installed the peers.
// Servers run on core 0, load on core 1 (PostgreSQL on both); each load takes a few seconds, three interleaved rounds, medians.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const top = join(here, '..', '..');
const build = join(top, 'build');
const folder = mkdtempSync(join(tmpdir(), 'renovationd-bench-'));
const pgBin = '/usr/lib/postgresql/15/bin';
const only = process.argv[2] ?? '';
const seconds = Number(process.env.BENCH_SECONDS ?? 3);
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const url = process.env.DATABASE_URL;
const serverCore = '0';
const loadCore = '1';
const rows = [];
const children = new Set();

const say = (text) => process.stderr.write(`bench: ${text}\n`);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let nextPort = 24000 + Math.floor(Math.random() * 2000);

// ---- programs ------------------------------------------------------------------------------------------------------

function start(core, command, args, environment = {}) {
  const child = spawn('taskset', ['-c', core, command, ...args], { env: { ...process.env, ...environment }, stdio: ['pipe', 'pipe', 'pipe'] });
  child.output = '';
  child.errors = '';
  child.stdout.on('data', (bytes) => (child.output += bytes));
  child.stderr.on('data', (bytes) => (child.errors = (child.errors + bytes).slice(-20000)));
  child.ended = new Promise((resolve) => child.on('exit', (code) => (children.delete(child), resolve(code))));
  children.add(child);
  return child;
}

async function waitFor(child, pattern) {
  for (let i = 0; i < 2000; i++) {
    const found = pattern.exec(child.output);
    if (found) return found;
    if (child.exitCode !== null) break;
    await sleep(5);
  }
  throw new Error(`a program did not start: ${child.spawnargs.join(' ')}\n${child.output}${child.errors}`);
}

async function stop(child) {
  if (child.exitCode === null) child.kill('SIGTERM');
  await child.ended;
}

async function renovationd(environment = {}, core = serverCore) {
  const began = performance.now();
  const child = start(core, join(build, 'renovationd'), [], { APP_ENV: 'test', PORT: '0', HOST: '127.0.0.1', WORKERS: '1', LOG_LEVEL: 'warn', GOOGLE_API_KEY: 'bench', GEMINI_BASE_URL: 'http://127.0.0.1:9', ...environment });
  const found = await waitFor(child, /listening on http:\/\/[^:]*:(\d+)/);
  return { child, port: Number(found[1]), readyMs: performance.now() - began };
}

async function peer(kind, environment = {}) {
  const port = nextPort++;
  const child = start(serverCore, process.execPath, [join(here, 'peer.mjs'), kind, String(port)], { NODE_ENV: 'production', ...environment });
  await waitFor(child, /listening/);
  return { child, port };
}

async function nginx() {
  const port = nextPort++;
  const prefix = mkdtempSync(join(folder, 'nginx-'));
  writeFileSync(join(prefix, 'nginx.conf'), `daemon off; pid ${prefix}/pid; error_log stderr; worker_processes 1; events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path ${prefix}/b; proxy_temp_path ${prefix}/p; fastcgi_temp_path ${prefix}/f; uwsgi_temp_path ${prefix}/u; scgi_temp_path ${prefix}/s;
server { listen 127.0.0.1:${port}; default_type application/json; location / { return 200 '{"status":"ok","timestamp":"2026-01-01T00:00:00.000Z","environment":"production","version":"0.1.0"}'; } } }`);
  const child = start(serverCore, '/usr/sbin/nginx', ['-p', prefix, '-c', join(prefix, 'nginx.conf')]);
  for (let i = 0; i < 500; i++) {
    try {
      await fetch(`http://127.0.0.1:${port}/`);
      return { child, port };
    } catch {
      await sleep(10);
    }
  }
  throw new Error(`nginx did not start: ${child.errors}`);
}

// ---- loads ---------------------------------------------------------------------------------------------------------

async function wrk(port, path, headers = [], more = []) {
  const args = ['-t1', '-c64', `-d${seconds}s`, ...more, ...headers.flatMap((h) => ['-H', h]), `http://127.0.0.1:${port}${path}`];
  const child = start(loadCore, 'wrk', args);
  await child.ended;
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(child.output);
  const bad = /Non-2xx or 3xx responses: (\d+)/.exec(child.output);
  if (!rate || bad) throw new Error(`wrk ${path}: ${child.output}${child.errors}`);
  return Number(rate[1]);
}

async function pgbench(script, clients) {
  const file = join(folder, 'script.sql');
  writeFileSync(file, script);
  const child = start(loadCore, `${pgBin}/pgbench`, ['-n', '-M', 'prepared', '-c', String(clients), '-j', '1', '-T', String(seconds), '-f', file, '-h', process.env.BENCH_PG, '-U', 'renovationd', 'renovationd']);
  await child.ended;
  const rate = /tps = ([\d.]+) \(without/.exec(child.output);
  if (!rate) throw new Error(`pgbench: ${child.output}${child.errors}`);
  return Number(rate[1]);
}

async function interleaved(what, contestants) {
  const results = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(contestants)) {
      results[name].push(await run());
      say(`${what}, round ${round + 1}: ${name} ${results[name].at(-1).toFixed(0)}/s`);
    }
  }
  return Object.fromEntries(Object.entries(results).map(([name, values]) => [name, median(values)]));
}

function addRow(what, ours, theirs, against, unit, target, smallerIsBetter = false) {
  const ratio = ours / theirs;
  const met = target === null ? '' : (smallerIsBetter ? ratio <= target : ratio >= target) ? 'met' : 'NOT MET';
  rows.push([what, ours, against, theirs, unit, ratio.toFixed(2), target === null ? '' : `${smallerIsBetter ? '<=' : '>='} ${target}`, met]);
}

function addLimit(what, ours, unit, limit) {
  rows.push([what, ours, '', '', unit, '', `<= ${limit} ${unit}`, ours <= limit ? 'met' : 'NOT MET']);
}

// ---- process facts ---------------------------------------------------------------------------------------------------

function family(pid) {
  const parents = new Map();
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      parents.set(Number(entry), Number(readFileSync(`/proc/${entry}/stat`, 'utf8').split(') ')[1].split(' ')[1]));
    } catch {
      /* it has ended */
    }
  }
  const found = [pid];
  for (const one of found) for (const [child, parent] of parents) if (parent === one) found.push(child);
  return found;
}

function cpuSeconds(pid) {
  return family(pid).reduce((sum, one) => {
    const fields = readFileSync(`/proc/${one}/stat`, 'utf8').split(') ')[1].split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) / 100;
  }, 0);
}

// Memory of its own: what a process wrote, not what it shares with others or maps from files.
function privateKiB(pid) {
  return family(pid).reduce((sum, one) => {
    const text = readFileSync(`/proc/${one}/smaps_rollup`, 'utf8');
    return sum + Number(/Private_Dirty:\s+(\d+)/.exec(text)[1]);
  }, 0);
}

// ---- the API -----------------------------------------------------------------------------------------------------------

async function owner(port) {
  const answer = await fetch(`http://127.0.0.1:${port}/api/anonymous`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
  return (await answer.json()).ownerToken;
}

async function api(port, token, method, path, body) {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method,
    headers: { 'x-owner-token': token, ...(body ? { 'content-type': 'application/json' } : {}) },
    body: body && JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

function sql(text) {
  return execFileSync(`${pgBin}/psql`, ['-h', process.env.BENCH_PG, '-U', 'renovationd', '-d', 'renovationd', '-Atqc', text], { encoding: 'utf8' }).trim();
}

// Each measurement begins with an empty database: what another left (questions without an answer) would be taken up again.
function freshDatabase() {
  for (const text of ['DROP DATABASE IF EXISTS renovationd WITH (FORCE)', 'CREATE DATABASE renovationd'])
    execFileSync(`${pgBin}/psql`, ['-h', process.env.BENCH_PG, '-U', 'renovationd', '-d', 'postgres', '-qc', text], { stdio: ['ignore', 'ignore', 'inherit'] });
}

// The statement that the server itself runs, from the table it is built from.
function statement(name) {
  const table = readFileSync(join(build, 'worker', 'db', 'statements.c'), 'utf8');
  const row = table.slice(table.indexOf(`[SQL_${name}] = {`));
  const literals = /\.sql =\s*((?:"(?:[^"\\]|\\.)*"\s*)+)/.exec(row)[1];
  return [...literals.matchAll(/"(?:[^"\\]|\\.)*"/g)].map(([literal]) => JSON.parse(literal)).join('').trim().replace(/;$/, '');
}

function requestFile(requests) {
  const file = join(folder, `requests-${Math.random().toString(36).slice(2)}`);
  writeFileSync(file, requests.map((one) => `${Buffer.byteLength(one)}\n${one}`).join(''));
  return file;
}

const post = (path, token, accept, body) =>
  `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${token ? `X-Owner-Token: ${token}\r\n` : ''}Accept: ${accept}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

// ---- the measurements ----------------------------------------------------------------------------------------------------

async function benchHealth() {
  const servers = { renovationd: await renovationd({ DATABASE_URL: url }), nginx: await nginx(), fastify: await peer('fastify'), express: await peer('express') };
  const rate = await interleaved('/health', Object.fromEntries(Object.entries(servers).map(([name, s]) => [name, () => wrk(s.port, '/health')])));
  for (const s of Object.values(servers)) await stop(s.child);
  addRow('GET /health', rate.renovationd, rate.nginx, 'nginx return 200', 'requests/s', 0.95);
  addRow('GET /health', rate.renovationd, rate.fastify, 'Fastify', 'requests/s', null);
  addRow('GET /health', rate.renovationd, rate.express, 'Express', 'requests/s', null);
}

async function benchRead() {
  const ours = await renovationd({ DATABASE_URL: url });
  const token = await owner(ours.port);
  const session = await api(ours.port, token, 'POST', '/api/sessions', { title: 'Kitchen' });
  const ownerId = sql(`SELECT owner_id FROM renovationd.renovation_sessions WHERE id = '${session.id}'`);
  const text = statement('sessions_read');
  const environment = { DATABASE_URL: url, SESSION_SQL: text, OWNER_ID: ownerId, PGOPTIONS: '-c search_path=renovationd,public' };
  const peers = { 'fastify + pg': await peer('fastify-pg', environment), 'express + pg': await peer('express-pg', environment) };
  sql(`ALTER ROLE renovationd SET search_path = renovationd, public`);
  const script = `\\set n 1\n${text.replace(/\$1/g, `'${ownerId}'::uuid`).replace(/\$2/g, `'${session.id}'::uuid`)};\n`;
  const rate = await interleaved(`GET /api/sessions/{id}`, {
    renovationd: () => wrk(ours.port, `/api/sessions/${session.id}`, [`X-Owner-Token: ${token}`]),
    pgbench: () => pgbench(script, 8),
    ...Object.fromEntries(Object.entries(peers).map(([name, s]) => [name, () => wrk(s.port, `/api/sessions/${session.id}`)])),
  });
  for (const s of [ours, ...Object.values(peers)]) await stop(s.child);
  addRow('GET /api/sessions/{id}', rate.renovationd, rate.pgbench, 'pgbench -M prepared -c 8 -j 1', 'requests/s', 1.0);
  addRow('GET /api/sessions/{id}', rate.renovationd, rate['fastify + pg'], 'Fastify + pg', 'requests/s', null);
  addRow('GET /api/sessions/{id}', rate.renovationd, rate['express + pg'], 'Express + pg', 'requests/s', null);
}

async function simulator(...args) {
  const child = start(loadCore, join(build, 'gemini-sim'), ['--port', '0', ...args]);
  const port = Number((await waitFor(child, /listening on http:\/\/[^:]*:(\d+)/))[1]);
  return { child, port };
}

// The question's write: conversation locked, message, turn and conversation written, one transaction. The model never answers here and each
// conversation has an answer under way, so that questions queue and nothing but the write is measured. pgbench does the same statements.
async function benchInsert() {
  const conversations = 900;
  const sim = await simulator('--fault', 'silence');
  const ours = await renovationd({ DATABASE_URL: url, GEMINI_BASE_URL: `http://127.0.0.1:${sim.port}`, RENOVATIOND_CHAT_QUEUE_MAX: '100' });
  const token = await owner(ours.port);
  const ids = [];
  for (let i = 0; i < conversations; i++) {
    ids.push((await api(ours.port, token, 'POST', '/api/sessions', { title: `Insert ${i}` })).conversationId);
    await api(ours.port, token, 'POST', `/api/conversations/${ids[i]}/messages`, { content: 'How long does screed dry?' });
  }
  const lua = join(folder, 'ask.lua');
  writeFileSync(lua, `local ids = { ${ids.map((id) => `"${id}"`).join(', ')} }
local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  n = n + 1
  return wrk.format(nil, "/api/conversations/" .. ids[n % #ids + 1] .. "/messages", nil, '{"content":"How long does screed dry, asked ' .. n .. '"}')
end
`);
  const ownerId = sql(`SELECT owner_id FROM renovationd.conversations WHERE id = '${ids[0]}'`);
  sql(`CREATE TABLE bench_conversations AS SELECT row_number() OVER () AS n, id FROM (SELECT id FROM renovationd.conversations WHERE owner_id = '${ownerId}' ORDER BY id LIMIT ${conversations}) c; ALTER TABLE bench_conversations ADD PRIMARY KEY (n)`);
  sql(`ALTER ROLE renovationd SET search_path = renovationd, public`);
  sql(`CREATE TABLE IF NOT EXISTS bench_messages (LIKE chat_messages INCLUDING ALL)`);
  const conversation = '(SELECT id FROM bench_conversations WHERE n = :n)';
  const values = [`'${ownerId}'::uuid`, conversation, 'uuid7()', 'uuid7()', 'uuid7()', "'How long does screed dry?'", 'NULL::text', "'enqueue'", '1000000', "'bench'", '10000', "'streaming'"];
  const fill = (text) => text.replace(/\$(\d+)/g, (_, k) => values[k - 1]).replace(/\s*\n\s*/g, ' ');
  const same = `\\set n random(1, ${conversations})\n\\startpipeline\n${fill(statement('conversation_lock'))};\n${fill(statement('chat_ask'))};\n\\endpipeline\n`;
  const any = sql(`SELECT conversation_id || ' ' || session_id FROM chat_messages WHERE owner_id = '${ownerId}' LIMIT 1`).split(' ');
  const plain = `INSERT INTO bench_messages (owner_id, conversation_id, session_id, seq, role, text, parts, status) VALUES ('${ownerId}', '${any[0]}', '${any[1]}', (random() * 1e15)::bigint, 'user', 'How long does screed dry?', '[{"type":"text","text":"How long does screed dry?"}]', 'complete');\n`;
  const rate = await interleaved("the question's write", {
    renovationd: () => wrk(ours.port, '/', [`X-Owner-Token: ${token}`], ['-s', lua]),
    'pgbench, the same statements': () => pgbench(same, 8),
    'pgbench, one bare INSERT': () => pgbench(plain, 8),
  });
  await stop(ours.child);
  await stop(sim.child);
  addRow("POST …/messages (the question's write)", rate.renovationd, rate['pgbench, the same statements'], 'pgbench, the same statements, 8 connections', 'writes/s', 0.8);
  addRow("POST …/messages (the question's write)", rate.renovationd, rate['pgbench, one bare INSERT'], 'pgbench, one bare INSERT, 8 connections', 'writes/s', null);
}

async function relayRun(port, requests) {
  const child = start(loadCore, join(build, 'tests', 'bench', 'stream_load'), ['streams', String(port), requestFile(requests)]);
  await child.ended;
  if (!child.output) throw new Error(`stream_load: ${child.errors}`);
  return JSON.parse(child.output);
}

async function benchRelay() {
  const streams = Number(process.env.BENCH_STREAMS ?? 200);
  const question = '[sim:chunks=50][sim:delay=20ms][sim:stamp] How long does screed dry?';
  const sim = await simulator();
  const upstream = `http://127.0.0.1:${sim.port}/v1beta/models/gemini-3.5-flash-lite:streamGenerateContent?alt=sse`;
  const ours = await renovationd({ DATABASE_URL: url, GEMINI_BASE_URL: `http://127.0.0.1:${sim.port}` });
  const relay = await peer('relay', { UPSTREAM: upstream });
  const token = await owner(ours.port);
  const direct = JSON.stringify({ contents: [{ role: 'user', parts: [{ text: question }] }] });
  const cpu = { ours: [], node: [] };
  const p99 = { ours: [], node: [], direct: [] };
  for (let round = 0; round < rounds; round++) {
    const sessions = [];
    for (let i = 0; i < streams; i++) sessions.push(await api(ours.port, token, 'POST', '/api/sessions', { title: `Relay ${round} ${i}` }));
    let before = cpuSeconds(ours.child.pid);
    const mine = await relayRun(ours.port, sessions.map((s) => post(`/api/sessions/${s.id}/messages`, token, 'text/event-stream', JSON.stringify({ content: question }))));
    cpu.ours.push(cpuSeconds(ours.child.pid) - before);
    before = cpuSeconds(relay.child.pid);
    const theirs = await relayRun(relay.port, Array.from({ length: streams }, () => post('/', '', 'text/event-stream', direct)));
    cpu.node.push(cpuSeconds(relay.child.pid) - before);
    const bare = await relayRun(sim.port, Array.from({ length: streams }, () => post(new URL(upstream).pathname + '?alt=sse', '', '*/*', direct).replace('\r\nAccept', '\r\nx-goog-api-key: bench\r\nAccept')));
    for (const [name, result] of [['ours', mine], ['node', theirs], ['direct', bare]]) {
      if (result.failed || result.unfinished || result.deltas < streams * 50) say(`relay: ${name} is incomplete: ${JSON.stringify(result)}`);
      p99[name].push(result.p99_us / 1000);
    }
    say(`relay, round ${round + 1}: renovationd ${cpu.ours.at(-1).toFixed(2)} s CPU, p99 ${p99.ours.at(-1)} ms; Node ${cpu.node.at(-1).toFixed(2)} s, p99 ${p99.node.at(-1)} ms; direct p99 ${p99.direct.at(-1)} ms`);
  }
  await stop(relay.child);
  await stop(ours.child);
  await stop(sim.child);
  addRow(`relay of ${streams} streams x 50 deltas`, median(cpu.ours), median(cpu.node), "Node's fetch relay", 'CPU s', 0.35, true);
  addLimit('relay: added latency, p99', median(p99.ours) - median(p99.direct), 'ms', 2);
  rows.push(['relay: added latency of the Node relay, p99', median(p99.node) - median(p99.direct), '', '', 'ms', '', '', '']);
}

async function held(server, count, request) {
  const before = privateKiB(server.child.pid);
  const child = start(loadCore, join(build, 'tests', 'bench', 'stream_load'), ['hold', String(server.port), requestFile([request]), String(count)]);
  const found = await waitFor(child, /holding (\d+) failed (\d+)/);
  await sleep(1500); // buffers of finished requests are given back at the next turn of the idle timer
  const after = privateKiB(server.child.pid);
  child.stdin.end();
  await child.ended;
  if (Number(found[1]) !== count) throw new Error(`only ${found[1]} of ${count} connections were held`);
  return ((after - before) * 1024) / count;
}

async function benchIdle() {
  const count = Number(process.env.BENCH_IDLE ?? 5000);
  const sim = await simulator('--fault', 'silence');
  const ours = await renovationd({ DATABASE_URL: url, GEMINI_BASE_URL: `http://127.0.0.1:${sim.port}` });
  const token = await owner(ours.port);
  addLimit(`user memory of an idle keep-alive connection (${count})`, await held(ours, count, 'GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'), 'bytes', 2048);
  const session = await api(ours.port, token, 'POST', '/api/sessions', { title: 'Idle' });
  const { turn } = await api(ours.port, token, 'POST', `/api/sessions/${session.id}/messages`, { content: 'Are you there?' });
  addLimit(`user memory of an idle event stream (${count})`, await held(ours, count, `GET /api/turns/${turn.id}/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Owner-Token: ${token}\r\nAccept: text/event-stream\r\n\r\n`), 'bytes', 2048);
  await stop(ours.child);
  await stop(sim.child);
}

async function benchStart() {
  const sim = await simulator();
  const times = [];
  for (let i = 0; i < 5; i++) {
    const ours = await renovationd({ DATABASE_URL: url, GEMINI_BASE_URL: `http://127.0.0.1:${sim.port}`, WORKERS: '2', GEMINI_VALIDATE: '1' }, `${serverCore},${loadCore}`);
    times.push(ours.readyMs);
    await stop(ours.child);
  }
  await stop(sim.child);
  addLimit('start to READY (2 workers, database and simulator checked)', median(times), 'ms', 150);
}

// ---- operating it ----------------------------------------------------------------------------------------------------------

// Of one process: what it wrote itself, and its share of what it shares with others.
function memoryKiB(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)[1]);
  return { pss: field('Pss'), private: field('Private_Dirty') + field('Private_Clean') };
}

// The name of a process, and its arguments; empty once it has ended.
function about(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

function workersOf(child) {
  const supervisor = family(child.pid).find((pid) => about(pid, 'comm').trim() === 'renovationd');
  const workers = family(child.pid).filter((pid) => about(pid, 'comm').startsWith('renovationd-wor'));
  return { supervisor, workers };
}

const generation = (pid) => Number(/--generation\0(\d+)/.exec(about(pid, 'cmdline'))?.[1] ?? 0);
const newest = (child) => Math.max(...workersOf(child).workers.map(generation));

async function benchMemory() {
  const count = 4;
  const ours = await renovationd({ DATABASE_URL: url, WORKERS: String(count) });
  await sleep(1500);
  const { supervisor, workers } = workersOf(ours.child);
  const each = workers.map(memoryKiB);
  const text = (value) => `${value} KiB`;
  rows.push([`memory of an idle worker, private (${count} workers)`, median(each.map((m) => m.private)), '', '', 'KiB', '', '', '']);
  rows.push([`memory of an idle worker, proportional (${count} workers)`, median(each.map((m) => m.pss)), '', '', 'KiB', '', '', '']);
  rows.push(['memory of the supervisor, private', memoryKiB(supervisor).private, '', '', 'KiB', '', '', '']);
  say(`memory: workers ${each.map((m) => text(m.private)).join(', ')} private`);
  await stop(ours.child);
}

async function benchScrape() {
  const { us, bytes } = JSON.parse(execFileSync('taskset', ['-c', serverCore, join(build, 'tests', 'bench', 'scrape')], { encoding: 'utf8' }));
  addLimit(`a scrape at 64 slots (${Math.round(bytes / 1024)} KiB)`, us / 1000, 'ms', 50);
}

// Reloads and upgrades while clients read, write, follow answers and stay idle: what they notice of it.
async function benchRolling() {
  const changes = Number(process.env.BENCH_CHANGES ?? 4);
  const sim = await simulator();
  const ours = await renovationd({ DATABASE_URL: url, WORKERS: '2', GEMINI_BASE_URL: `http://127.0.0.1:${sim.port}` }, `${serverCore},${loadCore}`);
  const load = start(loadCore, join(build, 'tests', 'bench', 'rolling'), [String(ours.port), '20', '5', '50', '50']);
  const ask = async (what) => {
    const before = load.output.length;
    load.stdin.write(`${what}\n`);
    if (what === 'mark') return undefined;
    while (!load.output.slice(before).includes('\n')) {
      if (load.exitCode !== null) throw new Error(`rolling: ${load.errors}`);
      await sleep(5);
    }
    return JSON.parse(load.output.slice(before));
  };
  const during = async (signal, times) => {
    await ask('mark');
    for (let i = 0; i < times; i++) {
      const before = newest(ours.child);
      if (signal) process.kill(workersOf(ours.child).supervisor, signal);
      for (let tries = 0; signal && newest(ours.child) <= before; tries++) {
        if (tries > 2000) throw new Error(`no new workers after ${signal}`);
        await sleep(10);
      }
      await sleep(2500);
    }
    return ask('report');
  };
  await sleep(4000);
  const calm = await during(null, changes);
  const reloads = await during('SIGHUP', changes);
  const upgrades = await during('SIGUSR2', changes);
  load.stdin.end();
  await load.ended;
  const last = JSON.parse(load.output.trim().split('\n').at(-1));
  for (const [what, report] of [[`${changes} reloads`, reloads], [`${changes} upgrades`, upgrades]]) {
    rows.push([`${what} under load: p99 of requests`, report.p99_us / 1000, 'the same load, calm', calm.p99_us / 1000, 'ms', (report.p99_us / calm.p99_us).toFixed(2), '', '']);
    rows.push([`${what} under load: longest time without an answer`, report.gap_us / 1000, 'the same load, calm', calm.gap_us / 1000, 'ms', (report.gap_us / calm.gap_us).toFixed(2), '', '']);
  }
  addLimit(`failed of ${last.requests.toLocaleString('en')} requests, ${last.answers} streamed answers among them`, last.failed, 'requests', 0);
  if (last.failed) say(`rolling: ${load.errors}`);
  await stop(ours.child);
  await stop(sim.child);
}

function table() {
  const head = ['what', 'renovationd', 'against', 'peer', 'unit', 'ratio', 'target', ''];
  const number = (value) => (typeof value === 'number' ? value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 2 : 0 }) : value);
  const lines = [head, ...rows.map((row) => row.map(number))];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => String(line[column]).length)));
  for (const [i, line] of lines.entries()) {
    console.log(line.map((cell, column) => ([1, 3, 5].includes(column) ? String(cell).padStart(widths[column]) : String(cell).padEnd(widths[column]))).join('  ').trimEnd());
    if (i === 0) console.log(widths.map((width) => '-'.repeat(width)).join('  '));
  }
}

const all = { health: benchHealth, read: benchRead, insert: benchInsert, relay: benchRelay, idle: benchIdle, start: benchStart, memory: benchMemory, scrape: benchScrape, rolling: benchRolling };
try {
  for (const [name, run] of Object.entries(all)) {
    if (only && !name.includes(only)) continue;
    try {
      freshDatabase();
      await run();
    } catch (error) {
      say(`${name} could not be measured: ${error.message}`);
      process.exitCode = 1;
    }
  }
  table();
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
