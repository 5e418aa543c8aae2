/* A pool of its own for browser tests that kill workers and reload: renovationd with an admin listener, on a database of its own in the run's cluster, with
 * the run's simulator. Everything ends with stop(). */

import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { until } from "../clients/support.mjs";

const run = promisify(execFile);

function needed(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run ./dev test, which sets it`);
  return value;
}

async function newDatabase() {
  const [folder, port] = needed("RENOVATIOND_TEST_CLUSTER").split(":");
  const name = `pool_${randomBytes(6).toString("hex")}`;
  await run("psql", [
    "-h",
    folder,
    "-p",
    port,
    "-U",
    "renovationd",
    "-d",
    "postgres",
    "-qc",
    `CREATE DATABASE ${name}`,
  ]);
  return `postgresql:///${name}?host=${folder}&port=${port}&user=renovationd`;
}

/* Resolves once it is ready: {url, adminUrl, pid, status(), signal(), stop()}. */
export async function startPool(environment = {}) {
  const folder = mkdtempSync(join(tmpdir(), "pool-"));
  const program = join(dirname(needed("GEMINI_SIM")), "renovationd");
  const child = spawn(program, [], {
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      ...process.env,
      DATABASE_URL: await newDatabase(),
      GEMINI_BASE_URL: needed("GEMINI_SIM_URL"),
      GOOGLE_API_KEY: "simulated",
      APP_ENV: "test",
      PORT: "0",
      WORKERS: "2",
      ADMIN_LISTEN: "127.0.0.1:0",
      CONTROL_SOCKET: join(folder, "control.sock"),
      RENOVATIOND_URL: "",
      ...environment,
    },
  });
  let log = "";
  let code = null;
  child.stderr.setEncoding("utf8").on("data", (text) => {
    log += text;
  });
  child.on("exit", (exitCode, signal) => {
    code = exitCode ?? signal;
  });
  process.on("exit", () => child.kill("SIGKILL"));
  const line = () => log.split("\n").find((each) => each.includes('"service ready"'));
  await until("the pool is ready", () => line() || code !== null);
  if (!line()) throw new Error(`renovationd ended with ${code}:\n${log}`);
  const { url, admin_url: adminUrl } = JSON.parse(line());
  return {
    url,
    adminUrl,
    pid: child.pid,
    status: async () => (await fetch(`${adminUrl}/admin/status.json`)).json(),
    signal: (name) => process.kill(child.pid, name),
    stop: async () => {
      child.kill("SIGTERM");
      await until("the pool has stopped", () => code !== null);
      rmSync(folder, { recursive: true, force: true });
      return code;
    },
  };
}
